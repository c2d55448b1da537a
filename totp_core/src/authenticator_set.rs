//! A user's authenticators: up to three active factors, each with a name.
//!
//! The first one holds the recovery codes, which are the user's and not one authenticator's. When
//! it is revoked, the next one takes them over. A new factor takes the place of the active one with
//! its name, or becomes a further authenticator when there is none.

use crate::account::Account;
use crate::authenticator::{AuthenticatorName, MAX_AUTHENTICATORS, PlaceRefused, Placement, UNNAMED};
use crate::factor::Factor;
use crate::new_factor::NewFactor;

impl<S> Factor<S> {
    /// Returns the name that the user reads.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or(UNNAMED, AuthenticatorName::as_str)
    }

    /// Returns whether this is the authenticator that `name` means.
    pub fn is_named(&self, name: &AuthenticatorName) -> bool {
        match &self.name {
            Some(own) => own == name,
            None => name.as_str().eq_ignore_ascii_case(UNNAMED),
        }
    }
}

impl<S> Account<S> {
    /// Returns the active factors, the one with the recovery codes first.
    pub fn authenticators(&self) -> impl Iterator<Item = &Factor<S>> {
        self.active.iter().chain(&self.added)
    }

    /// Returns the active factors to be changed.
    pub fn authenticators_mut(&mut self) -> impl Iterator<Item = &mut Factor<S>> {
        self.active.iter_mut().chain(&mut self.added)
    }

    /// Returns all factors: the active ones, then the pending one.
    pub fn factors(&self) -> impl Iterator<Item = &Factor<S>> {
        self.authenticators().chain(&self.pending)
    }

    /// Returns all factors to be changed.
    pub fn factors_mut(&mut self) -> impl Iterator<Item = &mut Factor<S>> {
        self.active.iter_mut().chain(&mut self.added).chain(&mut self.pending)
    }

    /// Returns the active factor with this id.
    pub fn authenticator(&self, id: &str) -> Option<&Factor<S>> {
        self.authenticators().find(|factor| factor.id == id)
    }

    /// Returns the active factor that `name` means; without a name, the only one there is.
    ///
    /// # Errors
    /// [`PlaceRefused::WhichOne`] or [`PlaceRefused::NoSuchName`].
    pub fn find_authenticator(
        &self,
        name: Option<&AuthenticatorName>,
    ) -> Result<Option<&Factor<S>>, PlaceRefused> {
        let Some(name) = name else {
            return if self.added.is_empty() {
                Ok(self.active.as_ref())
            } else {
                Err(PlaceRefused::WhichOne)
            };
        };
        let found = self.authenticators().find(|factor| factor.is_named(name));
        found.map(Some).ok_or(PlaceRefused::NoSuchName)
    }

    /// Deletes the factors that `is_gone` picks. The next authenticator moves up into the place of
    /// the first; without any the passcode is deleted, too. The recovery codes of the first go with
    /// it: in a stored account they are sealed. [`Account::remove_authenticator`] hands them over.
    pub fn drop_factors(&mut self, is_gone: impl Fn(&Factor<S>) -> bool) {
        self.pending.take_if(|factor| is_gone(factor));
        self.added.retain(|factor| !is_gone(factor));
        self.active.take_if(|factor| is_gone(factor));
        if self.active.is_none() && !self.added.is_empty() {
            self.active = Some(self.added.remove(0));
        }
        if self.active.is_none() {
            self.passcode = None;
        }
    }
}

/// Authenticators that were taken out of their account for a moment.
#[derive(Debug)]
#[must_use = "the account has lost them until they are put back"]
pub struct SetAside {
    active: Option<Factor>,
    added: Vec<Factor>,
}

impl Account {
    /// Checks that a new factor finds a place among the authenticators.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_place(&self, new: &NewFactor) -> Result<(), PlaceRefused> {
        self.place(&new.placement, new.params.digits.get()).map(drop)
    }

    /// Returns the name of a new factor with this placement.
    ///
    /// # Errors
    /// [`PlaceRefused`] when there is no place for it.
    pub(crate) fn place(
        &self,
        placement: &Placement,
        digits: u8,
    ) -> Result<Option<AuthenticatorName>, PlaceRefused> {
        let name = match placement {
            Placement::Replace(name) if self.active.is_none() => name.clone(),
            Placement::Replace(name) => {
                let replaced = self.find_authenticator(name.as_ref())?;
                replaced.and_then(|factor| factor.name.clone())
            }
            Placement::Add(name) => {
                if self.authenticators().any(|factor| factor.is_named(name)) {
                    return Err(PlaceRefused::NameTaken);
                }
                if self.authenticators().count() >= MAX_AUTHENTICATORS {
                    return Err(PlaceRefused::TooMany);
                }
                Some(name.clone())
            }
        };
        let mut others = self.authenticators().filter(|factor| factor.name != name);
        if others.any(|factor| factor.params.digits.get() != digits) {
            return Err(PlaceRefused::OtherDigits);
        }
        Ok(name)
    }

    /// Returns whether a factor of this name becomes the first, which holds the recovery codes.
    pub(crate) fn becomes_first(&self, name: Option<&AuthenticatorName>) -> bool {
        self.active.as_ref().is_none_or(|active| active.name.as_ref() == name)
    }

    /// Makes a confirmed factor an authenticator: in the place of the one with its name, for which
    /// the passcode may have been made, or as a further one.
    pub(crate) fn activate(&mut self, factor: Factor) {
        let place = self.authenticators_mut().find(|active| active.name == factor.name);
        if let Some(place) = place {
            *place = factor;
            self.passcode = None;
        } else if self.active.is_none() {
            self.active = Some(factor);
        } else {
            self.added.push(factor);
        }
    }

    /// Takes the authenticators out, so that a code is judged by the pending factor alone.
    /// [`Account::put_back`] ends that.
    pub fn set_aside(&mut self) -> SetAside {
        SetAside { active: self.active.take(), added: std::mem::take(&mut self.added) }
    }

    /// Puts the authenticators back. A factor that was confirmed meanwhile takes its place among
    /// them.
    pub fn put_back(&mut self, SetAside { active, added }: SetAside) {
        let confirmed = self.active.take();
        (self.active, self.added) = (active, added);
        if let Some(factor) = confirmed {
            self.activate(factor);
        }
    }

    /// Deletes one authenticator, and the passcode. The next one takes over the recovery codes.
    /// Returns whether there was one with this id.
    ///
    /// What the user has staged goes as well, whatever it concerns: the code that staged it may
    /// have been one of the deleted authenticator. So does a pending factor whose recovery codes
    /// would be too many or missing now, because another authenticator has become the first.
    pub fn remove_authenticator(&mut self, id: &str) -> bool {
        if self.authenticator(id).is_none() {
            return false;
        }
        let becomes_first = |account: &Self| {
            account.pending.as_ref().map(|pending| account.becomes_first(pending.name.as_ref()))
        };
        let before = becomes_first(self);
        let first = self.active.as_ref().filter(|active| active.id == id);
        let recovery = first.map(|active| active.secrets.recovery.clone());
        self.drop_factors(|factor| factor.id == id);
        if let (Some(recovery), Some(active)) = (recovery, &mut self.active) {
            active.secrets.recovery = recovery;
        }
        self.passcode = None;
        for factor in self.authenticators_mut() {
            factor.staged = None;
        }
        if before != becomes_first(self) {
            self.pending = None;
        }
        self.pending.take_if(|pending| pending.staged.is_some());
        true
    }
}

#[cfg(test)]
mod tests;
