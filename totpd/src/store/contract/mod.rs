//! The contract of [`Store`](crate::store::Store) as tests that run on every implementation.
//!
//! `contract_tests!` makes a test of each for a [`Fixture`](fixture::Fixture), `durability_tests!`
//! of each that is about what outlives a process, for a [`Durable`](fixture::Durable), and
//! `embedded_tests!` of each that is about files, for an [`Embedded`](fixture::Embedded).

pub(crate) mod accounts;
pub(crate) mod applications;
pub(crate) mod change_sets;
pub(crate) mod durability;
pub(crate) mod embedded;
pub(crate) mod fixture;
pub(crate) mod guards;
pub(crate) mod history;
pub(crate) mod races;
pub(crate) mod search;
pub(crate) mod withdrawals;

/// Makes a test of each function, with a store of its own.
macro_rules! tests_of {
    ($fixture:ty; $($module:ident { $($name:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $name() {
                use $crate::store::contract::fixture::Fixture as _;
                $crate::store::contract::$module::$name(<$fixture>::new()).await;
            }
        )*)*
    };
}

macro_rules! contract_tests {
    ($fixture:ty) => {
        $crate::store::contract::tests_of! { $fixture;
            accounts {
                an_account_is_read_as_it_was_written
                a_change_against_an_old_version_is_a_conflict
                an_expected_version_conflicts_once_it_has_changed
                names_addresses_and_numbers_belong_to_one_account
                accounts_are_listed_by_name
                accounts_are_found_by_uid_and_by_expiry
            }
            change_sets {
                a_change_set_is_written_as_a_whole_or_not_at_all
                a_conflict_leaves_other_changes_of_its_moment_alone
            }
            guards {
                a_cancelled_or_late_change_is_not_written
                a_commit_that_has_begun_stands
                after_a_conflict_the_guard_can_be_used_again
                a_dropped_commit_is_written_as_a_whole_or_not_at_all
            }
            races {
                of_many_updates_of_one_version_one_wins
                of_many_inserts_of_one_name_one_wins
                of_many_who_delete_one_session_one_wins
                of_many_names_of_one_uid_one_is_enrolled
            }
            history {
                events_are_paged_latest_first
                the_history_is_kept_to_its_bound
                logins_and_refusals_are_found_in_the_history
            }
            applications {
                sessions_change_by_version_and_expire
                a_token_belongs_to_one_session
                clients_and_keys_are_listed_in_order
            }
            withdrawals {
                withdrawals_are_counted_with_their_change
                an_accepted_copy_is_a_new_generation
                the_latest_grant_moves_with_its_change
            }
            search {
                users_are_found_by_what_applications_know
                pages_of_users_are_bounded_and_follow_each_other
            }
        }
    };
}

macro_rules! durability_tests {
    ($fixture:ty) => {
        $crate::store::contract::tests_of! { $fixture;
            durability {
                acknowledged_changes_survive_a_restart
                acknowledged_changes_survive_a_crash
                a_damaged_record_costs_its_own_user_alone
                an_older_copy_refuses_what_was_withdrawn_after_it
                a_lost_witness_is_written_again
            }
        }
    };
}

macro_rules! embedded_tests {
    ($fixture:ty) => {
        $crate::store::contract::tests_of! { $fixture;
            embedded {
                a_full_disk_stops_enrollments_and_no_login
                a_snapshot_is_complete_on_its_own
            }
        }
    };
}

pub(crate) use {contract_tests, durability_tests, embedded_tests, tests_of};
