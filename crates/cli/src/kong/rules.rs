//! Kong's rules for texts (`kong/db/schema/typedefs.lua` of Kong 3.9), each as what is wrong with a text.

/// Names of services, routes and filter chains: `typedefs.utf8_name`.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let fits = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || !c.is_ascii() || "._-~".contains(c));
    (!fits).then_some("is no name to Kong: letters, digits, '.', '-', '_' and '~' are")
}

/// Tags: `typedefs.tag`.
pub fn tag_fault(tag: &str) -> Option<&'static str> {
    let fits =
        !tag.is_empty() && tag.chars().all(|c| !c.is_ascii() || (' '..='~').contains(&c) && c != ',' && c != '/');
    (!fits).then_some("is no tag to Kong: printable characters other than ',' and '/' are")
}

/// Methods: `typedefs.http_method`.
pub fn method_fault(method: &str) -> Option<&'static str> {
    let fits = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    (!fits).then_some("is no method to Kong: capital letters are")
}

/// Paths of routes: `typedefs.router_path`. A prefix begins with `/`, a regular expression with `~`.
pub fn path_fault(path: &str) -> Option<&'static str> {
    let (is_regex, text) = path.strip_prefix('~').map_or((false, path), |regex| (true, regex));
    if !text.starts_with('/') {
        return Some("is no path to Kong: it has to begin with '/', or with '~/' where it is a regular expression");
    }
    if !is_percent_encoded(text) {
        return Some("has a '%' that two hexadecimal digits do not follow");
    }
    if is_regex {
        return None;
    }
    if text.contains("//") {
        return Some("has an empty segment, which Kong refuses");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b);
    if !text.bytes().all(plain) {
        return Some("has characters that Kong takes only percent-encoded, or in a regular expression after '~'");
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("is not normalised, which Kong refuses");
    }
    None
}

fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

/// Hosts of routes: a name, with one `*` first or last.
pub fn host_fault(host: &str) -> Option<&'static str> {
    let wildcards = host.matches('*').count();
    let misplaced = wildcards > 1 || wildcards == 1 && !host.starts_with('*') && !host.ends_with('*');
    if misplaced {
        return Some("may have one '*', as its first or last part");
    }
    let fits = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b));
    (!fits).then_some("is no host name: letters, digits, '-', '_' and '.' are, without scheme, port or path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged_as_kong_judges_them() {
        type Rule = fn(&str) -> Option<&'static str>;
        let cases: [(Rule, &[&str], &[&str]); 5] = [
            (name_fault, &["payments", "a.b-c_d~e", "zahlungsverkehr-für-alle"], &["", "a b", "a/b", "a:b", "group:x"]),
            (
                tag_fault,
                &["team payments", "backstage-entity:api:default:payments", "für"],
                &["", "entity:api:default/payments", "a,b", "a\nb", "a\u{7f}"],
            ),
            (method_fault, &["GET", "PROPFIND"], &["", "get", "GET ", "M-SEARCH"]),
            (
                path_fault,
                &["/", "/a/b%20c", "~/a/[^/]+$", "/a:b@c", "~/a//b"],
                &["", "a", "//", "/a//b", "/a b", "/a%2", "/{id}", "~a", "/a/../b", "/ä"],
            ),
            (
                host_fault,
                &["a.example", "*.a.example", "a.*", "localhost"],
                &["", "a.*.b", "*.a.*", "http://a", "a:80", "a/b"],
            ),
        ];
        for (rule, good, bad) in cases {
            good.iter().for_each(|text| assert_eq!(rule(text), None, "{text}"));
            bad.iter().for_each(|text| assert!(rule(text).is_some(), "{text}"));
        }
    }
}
