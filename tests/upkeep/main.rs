//! What an operator counts on: a backup under load, a restore on either engine, a check that finds what is wrong, rot that
//! is noticed, and stores of earlier versions that go on. The program runs in processes of its own.

#[path = "../support/postgres.rs"]
mod fixture;
#[allow(dead_code)] // shared with the tests of the store
#[path = "../store/house.rs"]
mod house;

mod backups;
mod checks;
mod rot;
mod schemas;
mod site;

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
    backups: a_backup_taken_under_load_holds_everything_acknowledged_before, a_sweep_waits_for_a_backup;
    schemas: a_store_of_every_released_schema_opens_and_predicts_the_same, an_older_program_leaves_a_newer_store_alone;
    checks: a_whole_store_is_found_whole_running_or_not;
}
