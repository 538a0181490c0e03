//! Who is calling: where the token is, whether it is valid, and whom it names.

mod budget;
mod cache;
mod check;
pub mod claims;
mod credentials;
mod error;
mod kind;
mod peek;
mod principal;
mod signatures;
mod verify;

pub use budget::{Address, Budget, BudgetExhausted, BudgetOwner, Budgets};
pub use cache::{CacheSize, CachedToken, TokenCache};
pub use check::Check;
pub(crate) use credentials::{COOKIE_ENDS, has_cookie, is_addressed};
pub use credentials::{Found, find_credential};
pub use error::{CredentialError, TokenError};
pub use kind::{KindBy, agent, client, kind, kind_by};
pub use principal::{Groups, GroupsUnknown, Principal};
pub use signatures::{Signature, SignatureRecord};
pub use verify::{Attempt, Keys, Signed, Unverified, Verified};
