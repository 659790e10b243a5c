//! Domain rules of the control plane. Pure.
