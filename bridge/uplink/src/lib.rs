//! Ways to carry the wire to the control plane.
