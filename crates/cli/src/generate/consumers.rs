//! Users and groups of the catalog, as Kong's own plugins and audits know them.

use super::output::{Acl, Consumer, ConsumerGroup, GroupName, tags};
use crate::catalog::{Catalog, Item};
use backstage_kong::catalog::Index;
use backstage_kong::entity::{DEFAULT_NAMESPACE, EntityRef};
use std::collections::BTreeSet;

/// What is made of users and groups.
pub(super) struct Mirror<'a> {
    pub catalog: &'a Catalog,
    pub index: &'a Index,
    /// Whether the parents of a user's groups count too.
    pub parent_groups: bool,
    /// Annotations of groups and users that name roles elsewhere, which become ACL groups too.
    pub role_annotations: &'a [String],
    /// Whether there are consumer groups, which Kong's open source has not.
    pub consumer_groups: bool,
}

impl Mirror<'_> {
    /// A consumer for each user, with an ACL group for each of its groups and roles. Their names are those that the filter
    /// puts into `x-consumer-username` and `x-consumer-groups`.
    pub(super) fn consumers(&self) -> Vec<Consumer> {
        let memberships = self.catalog.memberships();
        let users = self.catalog.items.values().filter(|item| item.reference.kind() == "user");
        users
            .map(|user| {
                let mut groups: Vec<EntityRef> =
                    memberships.get(&user.reference).into_iter().flatten().map(|group| (*group).clone()).collect();
                if self.parent_groups {
                    self.index.add_ancestors(&mut groups);
                }
                groups.sort();
                self.consumer(user, &groups)
            })
            .collect()
    }

    fn consumer(&self, user: &Item, groups: &[EntityRef]) -> Consumer {
        let mut acls: Vec<_> = groups.iter().map(|group| acl(group.as_str(), group)).collect();
        let holders = groups.iter().filter_map(|group| self.catalog.items.get(group)).chain([user]);
        let mut roles: BTreeSet<(&str, &EntityRef)> = BTreeSet::new();
        for holder in holders {
            for role in self
                .role_annotations
                .iter()
                .filter_map(|name| holder.annotation(name))
                .flat_map(|roles| roles.split(','))
            {
                if !role.trim().is_empty() && !roles.iter().any(|(known, _)| *known == role.trim()) {
                    roles.insert((role.trim(), &holder.reference));
                }
            }
        }
        acls.extend(roles.into_iter().map(|(role, holder)| acl(role, holder)));
        let known = groups.iter().filter(|group| self.consumer_groups && self.catalog.items.contains_key(*group));
        Consumer {
            username: user.reference.as_str().to_owned(),
            custom_id: user.reference.as_str().to_owned(),
            tags: tags(&user.reference),
            acls,
            groups: known.map(|group| GroupName { name: group_name(group) }).collect(),
        }
    }

    /// A consumer group for each group.
    pub(super) fn groups(&self) -> Vec<ConsumerGroup> {
        let groups = self.catalog.items.keys().filter(|entity| self.consumer_groups && entity.kind() == "group");
        groups.map(|group| ConsumerGroup { name: group_name(group), tags: tags(group) }).collect()
    }
}

fn acl(group: &str, from: &EntityRef) -> Acl {
    Acl { group: group.to_owned(), tags: tags(from) }
}

/// References have characters that names in Kong may not have.
fn group_name(group: &EntityRef) -> String {
    match group.namespace() {
        DEFAULT_NAMESPACE => group.name().to_owned(),
        namespace => format!("{namespace}.{}", group.name()),
    }
}
