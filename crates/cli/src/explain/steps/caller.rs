//! Who calls: the kind, the user, and the groups, value by value.

use super::{Run, named, texts};
use crate::explain::model::{Caller, GroupTrace, GroupValue};
use backstage_kong::config::{ClaimName, Issuer, NameTransform};
use backstage_kong::http::Reply;
use backstage_kong::identity::claims::{Claims, Names};
use backstage_kong::identity::{Groups, GroupsUnknown, KindBy, Principal, kind_by};
use backstage_kong::ownership::{CatalogNeeded, Mapped, group_names, map_group};
use backstage_kong::telemetry::rfc3339;

pub(super) fn caller(principal: &Principal, issuer: Option<&Issuer>) -> Caller {
    let kind_by = issuer.map(|issuer| match kind_by(issuer, &principal.claims) {
        KindBy::Agent => format!("claim {} or act", issuer.claims.agent.0),
        KindBy::Service => match &issuer.claims.service {
            Some((name, Some(value))) => format!("claim {} = {value}", name.0),
            Some((name, None)) => format!("claim {}", name.0),
            None => "its claims".to_owned(),
        },
        KindBy::Client => format!("sub is the client ({})", named(&issuer.claims.client)),
        KindBy::Issuer(_) => "no claim says otherwise".to_owned(),
    });
    Caller {
        kind: principal.kind.name(),
        kind_by: kind_by.unwrap_or_default(),
        user: principal.user.as_ref().map(ToString::to_string),
        subject: principal.subject.clone(),
        agent: principal.agent.clone(),
        client: principal.client.clone(),
        issuer: principal.issuer.clone(),
        expires: rfc3339(principal.expires),
    }
}

/// How the group claim became the caller's groups.
pub(super) fn groups(run: &Run<'_>, principal: &Principal, issuer: &Issuer) -> GroupTrace {
    let told =
        issuer.userinfo.as_ref().filter(|_| principal.claims.names(&issuer.claims.groups) == Names::Absent).and_then(
            |userinfo| {
                let reply = run.calls.reply_of(&userinfo.endpoint)?;
                Some((Claims::parse(Reply::ok(reply)?).ok()?, &userinfo.groups))
            },
        );
    let (from, claims, claim) = match &told {
        Some((claims, claim)) => ("userinfo", claims, *claim),
        None => ("token", &principal.claims, &issuer.claims.groups),
    };
    let unknown = match &principal.groups {
        Groups::Known(_) => None,
        Groups::Unknown(why) => Some(unknown(*why, claim)),
    };
    let catalog = run.catalog();
    let names = group_names(&issuer.groups, claims, claim).unwrap_or_default();
    let mut values: Vec<_> = names
        .into_iter()
        .map(|name| value(name, map_group(&issuer.groups, name, catalog.as_deref()), issuer))
        .collect();
    let mapped: Vec<_> = values.iter().filter_map(|value| value.group.clone()).collect();
    let ancestors = principal.known_groups().iter().map(ToString::to_string).filter(|group| !mapped.contains(group));
    values.extend(ancestors.map(|group| GroupValue {
        value: "(parent)".to_owned(),
        group: Some(group),
        by: "the catalog's parents of these".to_owned(),
    }));
    GroupTrace { claim: claim.0.clone(), from, values, groups: texts(principal.known_groups()), unknown }
}

fn value(name: &str, mapped: Result<Mapped, CatalogNeeded>, issuer: &Issuer) -> GroupValue {
    let by = match &mapped {
        Ok(Mapped::Table(_)) => "groups.table".to_owned(),
        Ok(Mapped::Ref(_)) => "it is a full reference".to_owned(),
        Ok(Mapped::Annotation(_)) => format!("annotation {}", issuer.groups.annotation.as_deref().unwrap_or_default()),
        Ok(Mapped::Transform(_)) => {
            format!("transform {}", issuer.groups.transform.map_or("none", NameTransform::name))
        }
        Ok(Mapped::OtherKind) => "dropped: the reference is of neither a group nor a user".to_owned(),
        Ok(Mapped::NotInCatalog) => format!(
            "dropped: no one group of the catalog has it as annotation {}",
            issuer.groups.annotation.as_deref().unwrap_or_default()
        ),
        Ok(Mapped::NotInTable) => "dropped: not in groups.table, and there is no transform".to_owned(),
        Ok(Mapped::NoName) => "dropped: it makes no name that the catalog could have".to_owned(),
        Err(CatalogNeeded) => "not known: the catalog is not to be had".to_owned(),
    };
    let group = mapped.ok().and_then(Mapped::into_group).map(|group| group.to_string());
    GroupValue { value: name.to_owned(), group, by }
}

fn unknown(why: GroupsUnknown, claim: &ClaimName) -> String {
    let claim = &claim.0;
    match why {
        GroupsUnknown::Overflow => {
            format!("the provider has cut claim {claim} or left it out, because it was too long")
        }
        GroupsUnknown::Malformed => format!("claim {claim} is neither a text nor an array of texts"),
        GroupsUnknown::TooMany => format!("claim {claim} has more values than are read"),
        GroupsUnknown::Unavailable => "who was asked for them, issuer or catalog, did not tell".to_owned(),
    }
}
