//! Generated message, service and action types of every package, in r2r's shape: `package::msg::Type`,
//! `package::srv::Type::{Service, Request, Response}` and
//! `package::action::Type::{Action, Goal, Result, Feedback}`. Field names that are Rust keywords carry an
//! underscore behind them, and fixed-size arrays are `Vec`s which must have exactly that length.

#![allow(missing_docs, clippy::all, clippy::pedantic, unused_imports)]

/// What generated code stands on.
#[cfg(not(feature = "r2r"))]
pub(crate) mod wire {
    pub(crate) use super::{bytes::bytes, empty_on_the_wire, fixed::Fixed};
    pub(crate) use crate::stack::{Action as ActionType, Message as MessageType, Service as ServiceType};
    pub(crate) use serde::{Deserialize, Serialize};
}

#[cfg(not(feature = "r2r"))]
mod bytes {
    /// `uint8[]` moves as one block, not element by element.
    pub(crate) mod bytes {
        use serde::{
            Deserializer, Serializer,
            de::{SeqAccess, Visitor},
        };

        pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(bytes)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
            deserializer.deserialize_byte_buf(Bytes)
        }

        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            // Text formats know no bytes but lists of numbers.
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(4096));
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
    }
}

#[cfg(not(feature = "r2r"))]
mod fixed {
    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{Error as _, SeqAccess, Visitor},
        ser::{Error as _, SerializeTuple},
    };
    use std::marker::PhantomData;

    /// `T[N]` is a `Vec<T>` in Rust and has no length on the wire.
    pub(crate) struct Fixed<const N: usize>;

    impl<const N: usize> Fixed<N> {
        pub(crate) fn serialize<T: Serialize, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
            if items.len() != N {
                return Err(S::Error::custom(format_args!("a fixed array must have {N} elements, not {}", items.len())));
            }
            let mut tuple = serializer.serialize_tuple(N)?;
            for item in items {
                tuple.serialize_element(item)?;
            }
            tuple.end()
        }

        pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
            struct Items<T, const N: usize>(PhantomData<T>);

            impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
                type Value = Vec<T>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{N} elements")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                    let mut items = Vec::with_capacity(N);
                    while let Some(item) = list.next_element()? {
                        items.push(item);
                    }
                    if items.len() == N { Ok(items) } else { Err(A::Error::invalid_length(items.len(), &self)) }
                }
            }

            deserializer.deserialize_tuple(N, Items::<T, N>(PhantomData))
        }
    }
}

/// An empty struct is one octet on the wire (IDL has no empty structs; rosidl adds a member).
#[cfg(not(feature = "r2r"))]
macro_rules! empty_on_the_wire {
    ($type:ident) => {
        impl serde::Serialize for $type {
            // Spelled out: an action has a `Result` of its own beside this.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_u8(0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                <u8 as serde::Deserialize>::deserialize(deserializer).map(|_| Self {})
            }
        }
    };
}
#[cfg(not(feature = "r2r"))]
pub(crate) use empty_on_the_wire;

/// r2r's trait for a type its bundled bindings lack: type-checks, never runs.
#[cfg(feature = "doc-only")]
macro_rules! doc_only_message {
    ($type:ident) => {
        impl r2r::WrappedTypesupport for $type {
            type CStruct = ();
            fn get_ts() -> &'static r2r_rcl::rosidl_message_type_support_t {
                unreachable!("doc-only type-checks and cannot run")
            }
            fn create_msg() -> *mut Self::CStruct {
                unreachable!("doc-only type-checks and cannot run")
            }
            fn destroy_msg(_: *mut Self::CStruct) {
                unreachable!("doc-only type-checks and cannot run")
            }
            fn from_native(_: &Self::CStruct) -> Self {
                unreachable!("doc-only type-checks and cannot run")
            }
            fn copy_to_native(&self, _: &mut Self::CStruct) {
                unreachable!("doc-only type-checks and cannot run")
            }
        }
    };
}
#[cfg(feature = "doc-only")]
pub(crate) use doc_only_message;

/// As [`doc_only_message`], for the service beside its request and response.
#[cfg(feature = "doc-only")]
macro_rules! doc_only_service {
    () => {
        impl r2r::WrappedServiceTypeSupport for Service {
            type Request = Request;
            type Response = Response;
            fn get_ts() -> &'static r2r_rcl::rosidl_service_type_support_t {
                unreachable!("doc-only type-checks and cannot run")
            }
        }
    };
}
#[cfg(feature = "doc-only")]
pub(crate) use doc_only_service;

/// As [`doc_only_message`], for the action beside its parts; the items are those r2r generates.
#[cfg(feature = "doc-only")]
macro_rules! doc_only_action {
    ({ $($items:tt)* }) => {
        impl r2r::WrappedActionTypeSupport for Action {
            fn get_ts() -> &'static r2r_rcl::rosidl_action_type_support_t {
                unreachable!("doc-only type-checks and cannot run")
            }
            $($items)*
        }
    };
}
#[cfg(feature = "doc-only")]
pub(crate) use doc_only_action;

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
