//! The console: one page that shows the layers, the views and their changes. It needs nothing from elsewhere.

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

/// `GET /`
pub async fn page() -> Html<&'static str> {
    Html(include_str!("console/index.html"))
}

/// `GET /console.css`
pub async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("console/console.css")).into_response()
}

/// `GET /console.js`
pub async fn script() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("console/console.js")).into_response()
}

/// `GET /console.svg`
pub async fn icon() -> Response {
    let kind = [(header::CONTENT_TYPE, "image/svg+xml")];
    (kind, include_str!("console/console.svg")).into_response()
}
