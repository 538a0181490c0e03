//! Who is calling: where the token is, whether it holds, and whom it names.

pub mod claims;
mod error;
mod principal;

pub use error::{CredentialError, TokenError};
pub use principal::{Groups, GroupsUnknown, Principal};
