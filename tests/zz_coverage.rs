//! The last words of the test command: which database engines the store's tests ran on.

#[path = "support/postgres.rs"]
mod postgres;

fn main() {
    // asked for a list (as test runners do), there is nothing to list
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    println!("\nstore covered on SQLite (bundled)");
    match postgres::server() {
        Ok(server) => println!("store covered on {}\n", server.how),
        Err(why) => {
            println!(
                "\n{0}\n!!  NOT COVERED: PostgreSQL. {why}\n!!  Every store test of the `postgres` module was skipped.\n{0}\n",
                "!".repeat(78)
            );
            assert!(std::env::var_os("CI").is_none(), "CI is set: PostgreSQL must be covered");
        }
    }
}
