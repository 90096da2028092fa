//! What a real API server said.
