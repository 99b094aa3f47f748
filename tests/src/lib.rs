//! Client and gateway joined in memory: see `rust/`.
