//! Former names of [`crate::paths`] and [`crate::users`].

pub use crate::paths::{module, native, panicking_module, script, target};
pub use crate::site::Site;
pub use crate::users::{PASSWORD, USERS, uid_of};
