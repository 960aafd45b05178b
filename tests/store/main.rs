//! One suite for both database engines: the same tests under the same names, `sqlite::…` and `postgres::…`.

#[path = "../support/postgres.rs"]
mod fixture;
#[path = "../support/proxy.rs"]
mod proxy;

mod aliases;
mod away;
mod bulk;
mod checkpoints;
mod events;
mod files;
mod house;
mod idempotency;
mod jobs;
mod keys;
mod queue;
mod quotas;
mod schema;
mod turns;
mod versions;
mod webhooks;

macro_rules! on_both_engines {
    ($($file:ident: $($test:ident),+;)*) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$file::$test(crate::house::House::sqlite()).await;
                }
            )+)*
        }

        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(house) = crate::house::House::postgres().await {
                        crate::$file::$test(house).await;
                    }
                }
            )+)*
        }
    };
}

on_both_engines! {
    versions: version_numbers_are_never_given_twice, a_project_sees_nothing_of_another,
        lists_show_the_latest_of_each_name_newest_first_in_pages, a_dataset_is_kept_while_a_living_job_needs_it;
    jobs: a_job_lives_from_submission_to_model, a_failed_job_says_why, a_full_queue_refuses,
        a_list_of_jobs_can_be_filtered_and_paged, only_an_ended_job_is_deleted, cancel_has_one_answer_for_each_status,
        what_is_committed_is_announced, submissions_of_the_same_moment_are_all_there;
    keys: a_key_is_kept_as_its_checksum_and_known_to_its_project_alone, a_revoked_key_is_never_forgotten_and_its_use_is_noted,
        a_visitor_writes_beside_a_running_server_and_both_see_it;
    idempotency: a_hundred_equal_submissions_at_once_are_one_job, what_was_answered_outlives_the_process_that_answered,
        a_request_without_effect_uses_up_no_key, an_upload_sent_twice_is_one_version_and_leaves_no_file,
        a_later_answer_takes_the_place_of_the_first;
    quotas: a_project_has_what_its_rows_say_and_no_more, uploads_of_the_same_moment_do_not_pass_the_quota_together,
        a_job_whose_model_has_no_room_is_refused;
    queue: jobs_are_claimed_by_priority_then_age, no_job_is_claimed_twice_in_a_storm, progress_never_falls_and_is_one_only_on_success,
        the_ending_of_a_lost_claim_is_refused, a_job_whose_workers_die_is_tried_three_times, only_the_jobs_of_the_dead_are_rescued,
        a_rescued_job_whose_cancel_was_asked_is_cancelled, a_job_handed_back_spends_no_attempt, cancel_and_finish_agree_on_one_winner;
    events: a_job_tells_its_life_in_order, every_way_a_job_ends_is_told, what_is_tried_again_and_what_is_never_started_is_told,
        a_refused_write_of_a_lost_claim_tells_nothing_and_a_rescue_tells_once, the_holder_of_a_claim_may_tell_more,
        events_go_with_their_job, events_of_another_database_are_settled_when_the_store_is_opened, the_feed_of_a_project_misses_nothing_in_a_storm;
    turns: projects_take_turns_however_much_one_has_queued, a_job_waits_for_its_memory_and_is_not_overtaken,
        a_job_not_started_in_time_fails, an_attempt_that_broke_off_is_tried_again_until_there_are_no_more,
        a_new_job_remembers_which_one_it_tries_again;
    bulk: a_filter_means_what_it_says, all_jobs_of_a_filter_are_cancelled_and_no_other, places_in_the_queue_are_known_for_a_whole_page;
    files: what_a_crash_leaves_is_swept_and_nothing_else, names_stay_as_long_as_a_row_needs_them, a_damaged_artefact_is_noticed, a_dataset_is_opened_once_and_checked,
        a_refused_ending_leaves_no_file, a_store_whose_directory_is_gone_is_not_writable;
    webhooks: every_change_is_told_to_those_who_listen_in_its_project, a_change_and_its_message_are_committed_together_or_not_at_all,
        a_refused_ending_tells_nothing_and_a_rescue_tells_what_it_ended, a_hook_that_a_job_names_hears_of_that_job_alone,
        no_message_is_claimed_twice_and_one_address_gets_a_few_at_once,
        a_project_whose_receivers_all_hang_leaves_places_to_others, only_the_present_attempt_settles_a_message,
        an_endpoint_that_wants_nothing_gets_nothing, a_rotated_secret_signs_beside_the_new_one, progress_is_told_now_and_then;
    aliases: an_alias_is_made_moved_and_deleted_and_every_move_is_kept, of_many_who_saw_the_same_state_one_moves_it,
        what_an_alias_points_at_is_not_deleted, an_alias_and_a_deletion_of_the_same_moment_agree,
        a_move_and_its_message_are_committed_together_or_not_at_all, aliases_are_listed_newest_first_and_of_one_model_and_project;
    away: a_queue_has_no_more_than_its_bound_however_many_submit;
    checkpoints: parts_come_back_in_order_and_go_with_the_ending, only_the_holder_of_a_claim_adds_to_a_checkpoint,
        a_damaged_part_is_noticed_and_can_be_dropped, a_checkpoint_stays_while_its_job_may_go_on_and_is_swept_after;
    schema: every_query_is_understood, a_second_opening_finds_what_the_first_left, a_changed_migration_is_refused;
}
