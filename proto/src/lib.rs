//! ONNX messages, external data and the budgets that bound them.
