//! Templates: the YAML language, read strictly, and its compilation into a [`Topology`](super::topology::Topology).
