//! The made-up users of the development identity provider.

use serde_json::{Value, json};

/// Someone tokens are made for.
#[derive(Debug, Clone, Copy)]
pub struct Persona {
    /// The name in `/token/<name>`.
    pub name: &'static str,
    /// `sub`: for an agent the user on whose behalf it acts.
    pub subject: &'static str,
    /// `groups`.
    pub groups: &'static [&'static str],
    /// `act.sub` (RFC 8693 §4.1).
    pub agent: Option<&'static str>,
    /// `service`: makes the caller a service where the route's configuration reads this claim.
    pub service: Option<&'static str>,
    /// What the persona is for.
    pub about: &'static str,
}

/// All of them.
pub const PERSONAS: &[Persona] = &[
    person("payments-dev", &["payments"], "a member of the team that owns the payments API"),
    person("checkout-dev", &["checkout"], "a member of a team that consumes it"),
    person("search-dev", &["search"], "a member of a team that has nothing to do with it"),
    person("intern", &[], "in no group at all"),
    Persona {
        service: Some("checkout-batch"),
        ..person("checkout-batch", &["checkout"], "a service of the consuming team")
    },
    Persona {
        name: "release-bot",
        agent: Some("release-bot"),
        ..person("payments-dev", &["payments"], "an agent acting for payments-dev")
    },
    Persona {
        name: "shopping-bot",
        agent: Some("shopping-bot"),
        ..person("checkout-dev", &["checkout"], "an agent acting for checkout-dev")
    },
];

const fn person(name: &'static str, groups: &'static [&'static str], about: &'static str) -> Persona {
    Persona { name, subject: name, groups, agent: None, service: None, about }
}

impl Persona {
    /// The persona of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PERSONAS.iter().find(|persona| persona.name == name)
    }

    /// For the list at `/users`.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "sub": self.subject, "groups": self.groups, "agent": self.agent,
               "service": self.service, "about": self.about})
    }
}
