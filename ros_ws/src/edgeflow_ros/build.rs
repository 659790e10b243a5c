//! Generates every ROS 2 message, service and action type of this crate, see `codegen/mod.rs`.

#[allow(unreachable_pub)]
mod codegen;

fn main() -> anyhow::Result<()> {
    codegen::run()
}
