//! What the run command and a compiled executable share: options, arrays, images, summaries.
