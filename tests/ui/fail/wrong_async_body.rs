//! A fault in a traced async body is shown where it is, and once.

use exectrace::traced;

#[traced]
async fn f(x: u8) -> Result<String, std::num::ParseIntError> {
    std::future::ready(x).await
}

fn main() {
    drop(f(1));
}
