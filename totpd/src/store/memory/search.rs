//! Searches of users in memory.

use crate::seal::SealedAccount;
use crate::store::account::StoredAccount;
use crate::store::query::{MAX_COUNTED, MAX_PAGE_BYTES, UserFilter, UserPage, UserQuery};
use totp_core::Time;

/// A page of the users that match, in the order in which they were made.
pub(super) fn search<'a>(accounts: impl Iterator<Item = &'a StoredAccount>, query: &UserQuery) -> UserPage {
    let mut found: Vec<&StoredAccount> = accounts.filter(|stored| matches(&stored.account, query)).collect();
    let total = Some(found.len()).filter(|total| *total <= MAX_COUNTED).map(|total| total as u64);
    let key = |stored: &StoredAccount| (stored.account.created, stored.account.id.clone());
    found.sort_by_key(|stored| key(stored));
    found.retain(|stored| query.after.as_ref().is_none_or(|after| key(stored) > *after));
    let (mut page, mut bytes) = (UserPage { total, ..UserPage::default() }, 0);
    for stored in found {
        bytes += serde_json::to_vec(&stored.account).map_or(0, |record| record.len());
        if page.users.len() >= query.limit || (bytes > MAX_PAGE_BYTES && !page.users.is_empty()) {
            page.next = page.users.last().map(key);
            break;
        }
        page.users.push(stored.clone());
    }
    page
}

fn matches(account: &SealedAccount, query: &UserQuery) -> bool {
    let mut results = query.filters.iter().map(|filter| fits(account, filter, query.now));
    query.filters.is_empty() || if query.any { results.any(|fits| fits) } else { results.all(|fits| fits) }
}

fn fits(account: &SealedAccount, filter: &UserFilter, now: Time) -> bool {
    let name = account.name.as_ref().map(ToString::to_string);
    let email = account.profile.email.as_ref().map(|email| email.address.to_lowercase());
    let phone = account.profile.phone.as_ref().map(|phone| phone.address.clone());
    let pending = account.pending.as_ref().filter(|_| account.pending_expires().is_some_and(|at| at > now));
    let is_one_of = |value: &Option<String>, values: &[String]| {
        value.as_ref().is_some_and(|value| values.contains(value))
    };
    match filter {
        UserFilter::Id(ids) => ids.contains(&account.id),
        UserFilter::Name(names) => is_one_of(&name, names),
        UserFilter::Email(emails) => {
            email.is_some_and(|email| emails.iter().any(|wanted| wanted.to_lowercase() == email))
        }
        UserFilter::EmailContains(text) => email.is_some_and(|email| email.contains(&text.to_lowercase())),
        UserFilter::Phone(phones) => is_one_of(&phone, phones),
        UserFilter::PhoneContains(text) => phone.is_some_and(|phone| phone.contains(text)),
        UserFilter::Pending(pending) => account.profile.pending == *pending,
        UserFilter::Totp(ids) => {
            account.authenticators().chain(pending).any(|factor| ids.contains(&factor.id))
        }
        UserFilter::TotpVerified(true) => account.active.is_some(),
        UserFilter::TotpVerified(false) => pending.is_some(),
        UserFilter::CreatedAfter(time) => account.created > *time,
        UserFilter::CreatedBefore(time) => account.created < *time,
    }
}
