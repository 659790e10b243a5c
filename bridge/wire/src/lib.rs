//! What crosses between robot and control plane.
