//! Attacks this product must survive, each by its number.

mod attack_09;
mod attack_10;
mod attack_11;
mod attack_12;
mod attack_13;
mod attack_14;
mod attack_15;
mod attack_16;
mod attack_17;
mod attack_18;
mod attack_19;
mod attack_20;
mod attack_25;
mod attack_26;
mod mirror;
