//! Tests of passes.
