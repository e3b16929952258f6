//! Speed: the traffic it is measured on, what is measured, and how.

pub mod callgrind;
pub mod gate;
pub mod hostile;
pub mod measure;
pub mod memory;
pub mod passes;
pub mod site;
pub mod traffic;

pub use traffic::{Traffic, write};
