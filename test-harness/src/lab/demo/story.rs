//! The story, as data.

/// A part of the story about one thing.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) acts: &'static [Act],
}

/// What happens.
#[derive(Debug)]
pub(super) enum Act {
    Send {
        method: &'static str,
        path: &'static str,
        token: Token,
        expect: u16,
    },
    /// As long as the last answer's `Retry-After` says.
    WaitAsTold,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Token {
    None,
    Of(&'static str),
    Forged(&'static str),
}

const fn send(method: &'static str, path: &'static str, token: Token, expect: u16) -> Act {
    Act::Send { method, path, token, expect }
}

pub(super) const CHAPTERS: &[Chapter] = &[
    Chapter {
        title: "No token",
        text: "Group payments owns the payments API; group checkout consumes it. A client without a token learns what it needs.",
        acts: &[send("GET", "/payments/42", Token::None, 401)],
    },
    Chapter {
        title: "A wrong token",
        text: "The issuer, the groups and the key id are right, but somebody else signed it. Only the log says so.",
        acts: &[send("GET", "/payments/42", Token::Forged("payments-dev"), 401)],
    },
    Chapter {
        title: "A consumer reads",
        text: "The upstream gets no token. It learns which entity is called and who calls, by their names in Backstage.",
        acts: &[send("GET", "/payments/42", Token::Of("checkout-dev"), 200)],
    },
    Chapter {
        title: "A consumer writes",
        text: "Only owners may write.",
        acts: &[send("POST", "/payments/42", Token::Of("checkout-dev"), 403)],
    },
    Chapter {
        title: "An owner writes",
        text: "A POST costs five units of the group's quota of 600 a minute.",
        acts: &[send("POST", "/payments/42", Token::Of("payments-dev"), 200)],
    },
    Chapter {
        title: "An agent acts for the owner",
        text: "It may read on the user's behalf, and both are recorded. It may not write, even where the user may.",
        acts: &[
            send("GET", "/payments/42", Token::Of("release-bot"), 200),
            send("DELETE", "/payments/42", Token::Of("release-bot"), 403),
        ],
    },
    Chapter {
        title: "A quota runs out and comes back",
        text: "Each user of /quota may send three requests in five seconds.",
        acts: &[
            send("GET", "/quota", Token::Of("search-dev"), 200),
            send("GET", "/quota", Token::Of("search-dev"), 200),
            send("GET", "/quota", Token::Of("search-dev"), 200),
            send("GET", "/quota", Token::Of("search-dev"), 429),
            Act::WaitAsTold,
            send("GET", "/quota", Token::Of("search-dev"), 200),
        ],
    },
    Chapter {
        title: "A configuration at fault",
        text: "Its own route answers 503, the log names the mistake, and every other route works.",
        acts: &[send("GET", "/broken", Token::Of("payments-dev"), 503)],
    },
];
