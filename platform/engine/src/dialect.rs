//! Spark's SQL, where the parser's own dialect of that name differs from it: backslashes in text are escapes, and an
//! interval's unit may stand inside its text.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, SparkSqlDialect};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// The dialect of views and queries.
#[derive(Debug)]
pub struct Spark;

const PARSER: SparkSqlDialect = SparkSqlDialect {};

impl Dialect for Spark {
    fn is_delimited_identifier_start(&self, start: char) -> bool {
        PARSER.is_delimited_identifier_start(start)
    }

    fn is_identifier_start(&self, start: char) -> bool {
        start.is_alphabetic() || PARSER.is_identifier_start(start)
    }

    fn is_identifier_part(&self, part: char) -> bool {
        part.is_alphanumeric() || PARSER.is_identifier_part(part)
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn supports_cte_without_as(&self) -> bool {
        true
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        PARSER.parse_infix(parser, expr, precedence)
    }
}
