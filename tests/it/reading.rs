//! Files as people have them: every verb reads them by the same reader, or says what is wrong and
//! where.

mod cases;
mod examples;
mod output;
mod verbs;
