//! The `ec2` provisioner, on an Amazon of our own that is no kinder than Amazon.

pub mod amazon;
mod conformance;
mod copies;
mod crowd;
mod doctor;
mod evening;
mod fast;
mod left_off;
mod morning;
mod moto;
mod orphans;
mod patience;
mod place;
mod processors;
mod reach;
mod requests;
mod rest;
mod role;
mod seeds;
mod spot;
mod standing;
mod start;
mod thrift;
mod volumes;
mod warm;
mod zones;
