//! Constants of every generated type, as `package::msg::Type::NAME`, with the type of the fields they
//! are for. Those on the types themselves have types of their own with r2r: node code takes these.

#![allow(missing_docs)]

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
