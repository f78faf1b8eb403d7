//! Every operation on every wide level of the host, bit for bit against the evaluator.
