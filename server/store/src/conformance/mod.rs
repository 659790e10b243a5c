//! What every adapter must do, whichever database it speaks to. Each function is one promise; [`conformance_tests!`] makes
//! a test of each, with a database of its own.
//!
//! Between them they execute every statement of an adapter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test suite, though other crates run it")]

mod artifact;
mod declared;
mod entry;
mod evidence;
mod fixtures;
mod fleet;
mod identity;
mod multipart;
mod people;
mod registry;
mod retention;
mod rollout;
mod timeline;
mod tracking;

pub use artifact::*;
pub use declared::*;
pub use entry::*;
pub use evidence::*;
pub use fleet::*;
pub use identity::*;
pub use multipart::*;
pub use people::*;
pub use registry::*;
pub use retention::*;
pub use rollout::*;
pub use timeline::*;
pub use tracking::*;

/// Makes one test per promise. `$open` is an async function that opens an empty database: it gives [`Stores`](crate::Stores)
/// and whatever must stay alive beside them.
#[macro_export]
macro_rules! conformance_tests {
    ($open:path) => {
        $crate::conformance_tests!(@each $open:
            the_server_knows_itself_and_its_token
            a_robot_is_enrolled_found_listed_and_revoked
            a_robots_name_is_taken_over_all_organisations
            a_revoked_name_comes_back_with_its_generation
            an_operator_comes_and_goes
            a_revision_stands_until_the_next_one_and_is_numbered
            a_proposal_is_decided_once_by_somebody_else
            a_revision_tells_robots_all_of_it_or_nothing
            what_was_planned_over_other_robots_does_not_happen
            a_robot_stays_due_for_what_it_waits_for
            robots_are_read_by_name_and_labelled
            a_bootstrap_token_is_redeemed_once
            a_race_for_a_bootstrap_token_has_one_winner
            a_bootstrap_token_expires_and_is_forgotten
            certificates_are_kept_and_go_with_their_robot
            certificates_that_expire_and_were_not_renewed_are_found
            a_deployment_declares_and_supersedes
            a_deployment_with_an_unknown_robot_changes_nothing
            a_restored_server_raises_every_desired_state
            a_robot_is_held_and_its_slots_are_settled
            a_policy_is_declared_beside_the_slots
            a_rollout_is_made_read_and_listed
            a_step_of_a_rollout_declares_and_is_made_once
            robots_go_back_each_to_the_version_it_had
            a_robots_slot_is_held_by_one_rollout
            a_rollout_of_a_policy_goes_out_and_back
            the_robots_and_lines_of_a_rollout_are_found
            robots_are_read_by_name_with_their_labels
            a_command_is_open_until_it_ended_or_expired
            a_capture_is_offered_once_and_its_row_stays
            deployments_are_listed_newest_first
            models_are_made_once_and_listed_by_name
            models_are_described_tagged_and_renamed
            an_alias_stands_for_one_version_and_goes_with_it
            versions_are_described_tagged_and_staged
            what_was_deleted_is_gone_and_its_number_never_comes_again
            versions_count_up_and_the_same_bundle_is_the_same_version
            artifacts_are_kept_listed_and_removed_by_path
            a_file_is_never_a_folder_too
            bytes_are_doubted_until_it_is_known_who_refers_to_them
            an_upload_in_parts_is_kept_until_it_is_completed_or_given_up
            robots_are_found_by_what_they_are_told_to_have
            artifacts_are_known_to_the_organisation_that_refers_to_them
            experiments_are_numbered_named_once_and_tagged
            a_race_for_an_experiments_name_has_one_winner
            an_experiment_goes_and_comes_back_with_its_runs
            experiments_are_searched
            a_run_is_begun_changed_and_ended
            metrics_are_kept_once_and_the_latest_is_by_step_time_and_value
            metrics_of_many_clients_are_all_kept
            a_metric_of_several_runs_is_read_at_steps
            a_parameter_never_changes_and_a_refused_batch_leaves_nothing
            what_went_in_and_came_out_is_kept_once
            versions_come_from_datasets_through_runs
            runs_are_searched_and_sorted
            a_logged_model_is_made_finalized_and_deleted
            logged_models_are_searched_by_what_was_measured
            the_audit_trail_is_read_newest_first
            a_batch_is_stored_once_however_often_it_comes
            a_gap_is_out_of_order_and_stores_nothing
            an_evicted_range_is_recorded_with_the_batch_that_names_it
            a_restored_server_records_what_it_forgot
            a_cloned_log_is_refused
            a_malformed_batch_leaves_nothing
            entries_are_listed_by_arrival_kind_and_class
            notable_entries_are_found_among_routine_ones
            entries_of_kinds_nobody_knows_are_kept
            what_robots_attest_follows_from_their_entries
            a_new_epoch_is_newer_than_an_old_one
            what_ran_is_kept_as_the_robot_said_it
            steps_of_deployments_are_found_by_what_was_asked
            samples_are_read_as_series
            channels_that_robots_name_keep_their_unit
            what_a_bundle_did_before_the_window_is_not_counted_again
            what_robots_report_is_read_of_many_at_once
            what_robots_report_goes_with_its_entries
            many_robots_at_once_lose_nothing
            losses_are_listed_with_what_the_robot_said_of_them
            entries_are_removed_by_their_age_and_it_is_on_record
            numbers_fold_to_what_they_were_however_they_are_folded
            numbers_of_every_robot_and_channel_are_folded
            what_touched_a_robot_is_read_by_place_from_every_store
            deployments_and_acts_are_found_by_what_they_were_about
        );
    };
    (@each $open:path: $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (stores, _alive) = $open().await;
                $crate::conformance::$promise(stores).await;
            }
        )+
    };
}
