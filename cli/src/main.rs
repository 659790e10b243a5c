//! The command line for desks and robots.
fn main() {}
