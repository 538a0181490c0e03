use super::*;
use crate::generate::output::tags;
use backstage_kong::entity::EntityRef;
use proptest::prelude::*;
use serde_json::json;

/// Services of ours, of these names; `version` tells those of one name apart.
fn ours(names: &[(String, u8)]) -> Vec<Section> {
    let entity = EntityRef::parse_full("api:default/x").unwrap();
    let item = |(name, version): &(String, u8)| {
        json!({"name": name, "url": format!("http://{version}"), "tags": tags(&entity), "routes": [{"name": name, "paths": ["/a"]}],
               "text": "two\nlines # not a comment\n"})
    };
    let none = |name, key| Section::new(name, key, [(); 0]).unwrap();
    vec![
        Section::new("services", "name", names.iter().map(item)).unwrap(),
        none("filter_chains", "name"),
        none("consumers", "username"),
    ]
}

fn merge(text: &str, names: &[(String, u8)]) -> Result<String, Finding> {
    let file = File::new("kong.yml");
    Existing::read(&file, text)?.merge(&ours(names))
}

fn named(names: &[&str]) -> Vec<(String, u8)> {
    names.iter().map(|name| ((*name).to_owned(), 0)).collect()
}

fn merged(text: &str, names: &[&str]) -> String {
    merge(text, &named(names)).unwrap()
}

#[test]
fn lists_that_are_empty_or_missing_are_made_and_come_back() {
    let head = "_format_version: \"3.0\"\n";
    for (text, made, emptied) in [
        (
            format!("{head}services: [] # none yet\nplugins: []\n"),
            "services: # none yet\n- name: a\n",
            "services: [] # none yet\nplugins: []\n",
        ),
        (format!("{head}services:\nplugins: []\n"), "services:\n- name: a\n", "services: []\nplugins: []\n"),
        (format!("{head}services: ~\n# the end\n"), "services:\n- name: a\n", "services: []\n# the end\n"),
        (head.to_owned(), "\nservices:\n- name: a\n", "\nservices: []\n"),
        ("_format_version: '3.0'".to_owned(), "_format_version: '3.0'\n\nservices:\n- name: a\n", "\nservices: []\n"),
        (
            "_format_version: '3.0'\r\nservices: []\r\n".to_owned(),
            "services:\r\n- name: a\r\n  routes:\r\n",
            "services: []\r\n",
        ),
    ] {
        let once = merged(&text, &["a"]);
        assert!(once.contains(made), "{once}");
        let without = merged(&once, &[]);
        assert!(without.ends_with(emptied), "{without}");
        assert_eq!(merged(&without, &["a"]), once);
    }
}

#[test]
fn items_are_put_in_where_they_belong_as_deep_as_the_others() {
    let text = "_format_version: \"3.0\"\nservices:\n    # first\n    - name: z\n      host: h\n    # second\n    -\n      name: y\n      host: h\n\n# end\n";
    let once = merged(text, &["b", "d"]);
    assert!(once.contains("      host: h\n    - name: b\n      routes:\n") && once.ends_with("\n\n# end\n"), "{once}");
    let more = merged(&once, &["a", "b", "c", "d", "e"]);
    let positions: Vec<_> =
        ["z", "y", "a", "b", "c", "d", "e"].iter().map(|name| more.find(&format!("name: {name}\n")).unwrap()).collect();
    assert!(positions.is_sorted(), "{more}");
    assert_eq!(merged(&more, &[]), text);
}

#[test]
fn an_anchor_of_ours_that_others_use_is_not_torn_out() {
    let text = "_format_version: \"3.0\"\nservices:\n- name: a\n  url: &u http://a\n  tags: [managed-by:backstage-kong]\n- name: mine\n  url: *u\n";
    let finding = merge(text, &named(&["b"])).unwrap_err().to_string();
    assert!(finding.contains("refer to what is replaced"), "{finding}");
}

/// Items as people write them, none of them ours.
fn foreign() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("- {name: NAME, host: h, tags: [managed-by:somebody]}\n"),
        Just("- name: NAME # why\n  host: h\n"),
        Just("# before\n- name: NAME\n\n  host: h\n  # inside\n  routes:\n  - name: r-NAME\n    paths: [/NAME,\n      /b]\n"),
        Just("-\n  name: NAME\n  host: h\n"),
        Just("- name: NAME\n  host: h\n  note: |\n    - name: no item\n    # no comment\n\n"),
        Just("- name: NAME\n  host: h\n  note: >-\n    tags: [managed-by:backstage-kong]\n\n\n# after\n"),
        Just("- &NAME\n  name: NAME\n  host: \"h: # \\\n    x\"\n"),
    ]
    .prop_map(str::to_owned)
}

/// A declarative configuration without anything of ours.
fn files() -> impl Strategy<Value = String> {
    let after = prop_oneof![
        Just(""),
        Just("# end"),
        Just("\nplugins:\n# global\n- name: cors\n"),
        Just("consumers: [{username: u}]\n")
    ];
    (proptest::collection::vec(foreign(), 0..5), after, any::<bool>(), 0usize..3).prop_map(
        |(items, after, is_dos, indent)| {
            let mut text = "# of the team\n_format_version: \"3.0\"\n\nservices:".to_owned();
            text.push_str(if items.is_empty() { " []\n" } else { "\n" });
            for (index, item) in items.iter().enumerate() {
                for line in item.replace("NAME", &format!("foreign-{index}")).split_inclusive('\n') {
                    let is_blank = line.trim().is_empty();
                    text.push_str(&if is_blank { line.to_owned() } else { format!("{}{line}", " ".repeat(indent)) });
                }
            }
            text.push_str(after);
            if is_dos { text.replace('\n', "\r\n") } else { text }
        },
    )
}

fn names() -> impl Strategy<Value = Vec<(String, u8)>> {
    proptest::collection::btree_map("[a-e]", 0u8..2, 0..5).prop_map(|names| names.into_iter().collect())
}

proptest! {
    #[test]
    fn merging_leaves_every_other_byte_alone(text in files(), wanted in names()) {
        let once = merge(&text, &wanted).unwrap();
        // Each line of the file is still there, in its order, with ours between them.
        let mut rest = once.lines();
        for line in text.lines().map(|line| if wanted.is_empty() { line } else { line.trim_end_matches(" []") }) {
            prop_assert!(rest.any(|other| other == line), "{line:?} is gone:\n{once}");
        }
        let without = merge(&once, &[]).unwrap();
        // A last line that was not ended is, where something was put after it.
        prop_assert!(without == text || without.trim_end() == text && !text.ends_with('\n'), "{without}\nwas\n{text}");
    }

    #[test]
    fn merging_again_changes_nothing_and_forgets_what_was_there(text in files(), before in names(), wanted in names()) {
        let once = merge(&text, &wanted).unwrap();
        prop_assert_eq!(&merge(&once, &wanted).unwrap(), &once);
        let through = merge(&merge(&text, &before).unwrap(), &wanted).unwrap();
        prop_assert_eq!(through.trim_end(), once.trim_end());
    }
}
