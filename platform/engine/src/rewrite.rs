//! Spark's words for what other words say too: functions under other names, casts that look like functions, conditions
//! and lambdas that are short for longer ones. All of it is text for text, before planning.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, LambdaFunction, ObjectName, OneOrManyWithParens, Subscript,
    TimezoneInfo, TrimWhereField, UnaryOperator, Value, VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::dialect::Spark;
use crate::spelling::last_ident;

/// The digits of a timestamp's seconds.
const MICROSECOND_DIGITS: u64 = 6;
/// The longest text of all copies where an expression is written several times: nested ones would double and double.
const COPIES_BYTES_MAX: usize = 8192;

/// Functions that have another name here.
const RENAMED: &[(&str, &str)] = &[
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("startswith", "starts_with"),
    ("endswith", "ends_with"),
    ("len", "character_length"),
    ("sha", "sha1"),
    ("some", "bool_or"),
    ("any", "bool_or"),
    ("every", "bool_and"),
    ("any_value", "min"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("transform", "array_transform"),
    ("filter", "array_filter"),
    ("array_exists", "array_any_match"),
    ("printf", "format_string"),
    ("cardinality", "size"),
    ("datepart", "date_part"),
];

/// Functions of one argument that are casts.
const CASTS: &[(&str, &str)] = &[
    ("string", "STRING"),
    ("boolean", "BOOLEAN"),
    ("tinyint", "TINYINT"),
    ("smallint", "SMALLINT"),
    ("int", "INT"),
    ("bigint", "BIGINT"),
    ("float", "FLOAT"),
    ("double", "DOUBLE"),
    ("decimal", "DECIMAL(10, 0)"),
    ("date", "DATE"),
    ("timestamp", "TIMESTAMP"),
    ("binary", "BINARY"),
];

/// Parts of dates and times, and the functions that give them.
const PARTS: &[(&[&str], &str)] = &[
    (&["year", "y", "years", "yr", "yrs"], "year"),
    (&["yearofweek"], "yearofweek"),
    (&["quarter", "qtr"], "quarter"),
    (&["month", "mon", "mons", "months"], "month"),
    (&["week", "w", "weeks"], "weekofyear"),
    (&["day", "d", "days"], "day"),
    (&["dayofweek", "dow"], "dayofweek"),
    (&["dayofweek_iso", "dow_iso", "isodow"], "dayofweek_iso"),
    (&["dayofyear", "doy"], "dayofyear"),
    (&["hour", "h", "hours", "hr", "hrs"], "hour"),
    (&["minute", "m", "min", "mins", "minutes"], "minute"),
    (&["second", "s", "sec", "secs", "seconds"], "second_with_fraction"),
];

/// Writes Spark's words out.
pub struct Words;

impl VisitorMut for Words {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Lambda(lambda) = expr {
            fields_of_variables(lambda);
        }
        if let Some(written) = written(expr) {
            *expr = written;
        }
        ControlFlow::Continue(())
    }
}

/// An expression from its text, which is ours.
fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&Spark).try_with_sql(text).and_then(|mut parser| parser.parse_expr()).ok()
}

/// `name(arguments)`.
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let mut expr = parsed(&format!("{name}()")).unwrap_or_else(|| Expr::Identifier(Ident::new(name)));
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut expr {
        list.args = arguments.into_iter().map(|one| FunctionArg::Unnamed(FunctionArgExpr::Expr(one))).collect();
    }
    expr
}

/// A text literal.
pub fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

/// An integer literal.
pub fn number(value: usize) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(expr: Expr) -> Expr {
    nested(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(expr)) })
}

fn negated_if(negated: bool, expr: Expr) -> Expr {
    if negated { not(expr) } else { expr }
}

fn case(conditions: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect(),
        else_result: otherwise.map(Box::new),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    let expr = Box::new(expr);
    Expr::Cast { kind: CastKind::Cast, expr, data_type: known_type(data_type), array: false, format: None }
}

/// The type in the words of the planner: timestamps have microseconds, and bytes are BYTEA.
fn known_type(data_type: DataType) -> DataType {
    match data_type {
        DataType::Timestamp(None, TimezoneInfo::None) | DataType::TimestampNtz(None) => {
            DataType::Timestamp(Some(MICROSECOND_DIGITS), TimezoneInfo::None)
        }
        DataType::Binary(None) => DataType::Bytea,
        DataType::Decimal(datafusion::sql::sqlparser::ast::ExactNumberInfo::None) => {
            DataType::Decimal(datafusion::sql::sqlparser::ast::ExactNumberInfo::PrecisionAndScale(10, 0))
        }
        other => other,
    }
}

fn written(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::RLike { negated, expr, pattern, .. } => {
            Some(negated_if(*negated, call("regexp_like", vec![take(expr), take(pattern)])))
        }
        Expr::Like { negated, any: true, expr, pattern, escape_char } => {
            let patterns = match take(pattern) {
                Expr::Tuple(patterns) => patterns,
                Expr::Nested(one) => vec![*one],
                one => vec![one],
            };
            if !may_be_copied(expr, patterns.len()) {
                **pattern = Expr::Tuple(patterns);
                return None;
            }
            let each = patterns.into_iter().map(|pattern| Expr::Like {
                negated: false,
                any: false,
                expr: expr.clone(),
                pattern: Box::new(pattern),
                escape_char: escape_char.clone(),
            });
            let any = each.reduce(|left, right| binary(left, BinaryOperator::Or, right))?;
            Some(negated_if(*negated, nested(any)))
        }
        // `LIKE ALL (…)` is parsed as a call.
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let Expr::Function(function) = pattern.as_ref() else {
                return None;
            };
            if !last_ident(&function.name)?.value.eq_ignore_ascii_case("all") {
                return None;
            }
            let patterns = plain_arguments(function)?;
            if !may_be_copied(expr, patterns.len()) {
                return None;
            }
            let each = patterns.into_iter().map(|pattern| Expr::Like {
                negated: *negated,
                any: false,
                expr: expr.clone(),
                pattern: Box::new(pattern),
                escape_char: escape_char.clone(),
            });
            Some(nested(each.reduce(|left, right| binary(left, BinaryOperator::And, right))?))
        }
        Expr::Struct { values, fields } if fields.is_empty() => Some(struct_of(std::mem::take(values))),
        Expr::Trim { trim_where: Some(side), trim_what: Some(what), expr, .. } => {
            let function = match side {
                TrimWhereField::Leading => "ltrim",
                TrimWhereField::Trailing => "rtrim",
                TrimWhereField::Both => return None,
            };
            Some(call(function, vec![take(what), take(expr)]))
        }
        Expr::Between { expr, negated, low, high } if may_be_copied(expr, 2) => {
            let value = take(expr);
            let above = binary(value.clone(), BinaryOperator::GtEq, nested(take(low)));
            let below = binary(value, BinaryOperator::LtEq, nested(take(high)));
            Some(negated_if(*negated, nested(binary(above, BinaryOperator::And, below))))
        }
        Expr::UnaryOp { op: UnaryOperator::BangNot, expr } => Some(not(take(expr))),
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => Some(call("bitwise_not", vec![take(expr)])),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr }
            if !matches!(expr.as_ref(), Expr::Value(_) | Expr::Interval(_)) =>
        {
            Some(call("negative", vec![take(expr)]))
        }
        Expr::Cast { data_type, .. } => {
            *data_type = known_type(data_type.clone());
            None
        }
        Expr::TypedString(typed) => {
            typed.data_type = known_type(typed.data_type.clone());
            None
        }
        Expr::Ceil { expr, field: CeilFloorKind::Scale(scale) } => {
            Some(call("ceil", vec![take(expr), Expr::Value(scale.clone())]))
        }
        Expr::Floor { expr, field: CeilFloorKind::Scale(scale) } => {
            Some(call("floor", vec![take(expr), Expr::Value(scale.clone())]))
        }
        Expr::Extract { field, expr, .. } => part_of(&field.to_string(), take(expr)),
        Expr::CompoundFieldAccess { root, access_chain } => accessed(root, access_chain),
        Expr::Function(function) => function_written(function),
        _ => None,
    }
}

/// Whether the expression may be written so many times.
fn may_be_copied(expr: &Expr, times: usize) -> bool {
    expr.to_string().len().saturating_mul(times) <= COPIES_BYTES_MAX
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn part_of(part: &str, of: Expr) -> Option<Expr> {
    let part = part.to_ascii_lowercase();
    let (_, function) = PARTS.iter().find(|(names, _)| names.contains(&part.as_str()))?;
    Some(call(function, vec![of]))
}

/// `expr[0]` counts from zero; `expr['key']` and `expr.field` are left to others, unless they follow one another.
fn accessed(root: &mut Expr, chain: &mut [AccessExpr]) -> Option<Expr> {
    let by_key = |access: &AccessExpr| {
        matches!(access, AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) })
            if matches!(value.value, Value::SingleQuotedString(_) | Value::DoubleQuotedString(_)))
    };
    let by_position = |access: &AccessExpr| matches!(access, AccessExpr::Subscript(Subscript::Index { .. }));
    if !chain.iter().any(|access| by_position(access) && !by_key(access)) {
        return None;
    }
    let mut whole = take(root);
    for access in chain {
        let keyed = by_key(access);
        whole = match access {
            AccessExpr::Dot(Expr::Identifier(field)) => {
                call("get_field", vec![whole, text(&field.value.to_lowercase())])
            }
            AccessExpr::Subscript(Subscript::Index { index }) if keyed => call("element_at", vec![whole, take(index)]),
            AccessExpr::Subscript(Subscript::Index { index }) => call("array_index", vec![whole, take(index)]),
            _ => return None,
        };
    }
    Some(whole)
}

/// The arguments of a plain call, without DISTINCT and the like.
pub fn plain_arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// The same call of another function: its filter and window stay.
fn renamed(function: &Function, name: &str, arguments: Vec<Expr>) -> Expr {
    let mut changed = call(name, arguments);
    if let Expr::Function(changed) = &mut changed {
        changed.filter = function.filter.clone();
        changed.over = function.over.clone();
        changed.null_treatment = function.null_treatment;
    }
    changed
}

fn function_written(function: &mut Function) -> Option<Expr> {
    let name = last_ident(&function.name)?.value.to_lowercase();
    if let Some(distinct) = distinct_written(function, &name) {
        return Some(distinct);
    }
    let mut arguments = plain_arguments(function)?;
    if !function.within_group.is_empty() {
        let [order] = &function.within_group[..] else {
            return None;
        };
        let ours = match name.as_str() {
            "percentile_cont" => "percentile",
            "percentile_disc" => "percentile_disc",
            _ => return None,
        };
        if order.options.asc == Some(false) {
            return None;
        }
        arguments.insert(0, order.expr.clone());
        return Some(renamed(function, ours, arguments));
    }
    if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == name) {
        function.name = ObjectName::from(vec![Ident::new(*ours)]);
    }
    if let (Some((_, kind)), [_]) = (CASTS.iter().find(|(cast, _)| *cast == name), &arguments[..]) {
        let data_type = Parser::new(&Spark).try_with_sql(kind).and_then(|mut parser| parser.parse_data_type()).ok()?;
        return Some(cast(arguments.remove(0), data_type));
    }
    let count = arguments.len();
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next();
    match (name.as_str(), count) {
        // The literal has as many digits as it was written with.
        ("decimal_literal", 1) => match next()? {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(digits) => Some(Expr::value(Value::Number(digits.clone(), false))),
                _ => None,
            },
            _ => None,
        },
        ("count_if", 1) => {
            let one = case(vec![(next()?, number(1))], None);
            Some(renamed(function, "count", vec![one]))
        }
        ("equal_null", 2) => Some(nested(binary(next()?, BinaryOperator::Spaceship, next()?))),
        ("zeroifnull", 1) => Some(call("coalesce", vec![next()?, number(0)])),
        ("nullifzero", 1) => Some(call("nullif", vec![next()?, number(0)])),
        ("decode", 3..) => {
            let value = next()?;
            if !may_be_copied(&value, count / 2) {
                return None;
            }
            let mut conditions = Vec::new();
            let mut rest = arguments.peekable();
            let mut otherwise = None;
            while let Some(one) = rest.next() {
                match rest.next() {
                    Some(result) => {
                        conditions.push((nested(binary(value.clone(), BinaryOperator::Spaceship, one)), result));
                    }
                    None => otherwise = Some(one),
                }
            }
            Some(case(conditions, otherwise))
        }
        ("date_part" | "datepart", 2) => match next()? {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(part) | Value::DoubleQuotedString(part) => part_of(part, next()?),
                _ => None,
            },
            _ => None,
        },
        ("timestampdiff" | "timestampadd" | "dateadd" | "date_add" | "datediff" | "date_diff", 3) => {
            let unit = match next()? {
                Expr::Identifier(unit) => text(&unit.value),
                other => other,
            };
            let ours = if name.ends_with("diff") { "timestampdiff" } else { "timestampadd" };
            Some(call(ours, vec![unit, next()?, next()?]))
        }
        ("struct", 1..) => Some(struct_of(arguments.collect())),
        ("positive", 1) => Some(nested(next()?)),
        ("isnull", 1) => Some(nested(Expr::IsNull(Box::new(nested(next()?))))),
        ("isnotnull", 1) => Some(nested(Expr::IsNotNull(Box::new(nested(next()?))))),
        ("array_append", 2) => {
            let list = next()?;
            let last = Expr::value(Value::Number("-1".into(), false));
            Some(call("array_insert", vec![list, last, next()?]))
        }
        ("array_prepend", 2) => {
            let list = next()?;
            Some(call("array_insert", vec![list, number(1), next()?]))
        }
        ("arrays_zip", 1..) => {
            let mut pairs = Vec::new();
            for (index, one) in arguments.enumerate() {
                pairs.push(text(&name_of(&one).unwrap_or_else(|| index.to_string())));
                pairs.push(one);
            }
            Some(call("zipped", pairs))
        }
        ("transform", 2) => match (next()?, next()?) {
            (list, Expr::Lambda(mut lambda)) if lambda.params.len() == 2 => {
                substitute(&mut lambda, &["col", "pos"]);
                Some(call("array_transform", vec![call("list_entries", vec![list]), Expr::Lambda(lambda)]))
            }
            _ => None,
        },
        ("forall", 2) => match (next()?, next()?) {
            (list, Expr::Lambda(mut lambda)) => {
                *lambda.body = not(take(&mut lambda.body));
                Some(not(call("array_any_match", vec![list, Expr::Lambda(lambda)])))
            }
            _ => None,
        },
        ("zip_with", 3) => {
            let (left, right) = (next()?, next()?);
            let Expr::Lambda(mut lambda) = next()? else {
                return None;
            };
            substitute(&mut lambda, &["l", "r"]);
            let zipped = call("zipped", vec![text("l"), left, text("r"), right]);
            Some(call("array_transform", vec![zipped, Expr::Lambda(lambda)]))
        }
        ("map_filter", 2) => {
            let (map, Expr::Lambda(mut lambda)) = (next()?, next()?) else {
                return None;
            };
            substitute(&mut lambda, &["key", "value"]);
            let kept = call("array_filter", vec![call("map_entries", vec![map]), Expr::Lambda(lambda)]);
            Some(call("map_from_entries", vec![kept]))
        }
        ("transform_values" | "transform_keys", 2) => {
            let (map, Expr::Lambda(mut lambda)) = (next()?, next()?) else {
                return None;
            };
            let entry = substitute(&mut lambda, &["key", "value"]);
            let changed = take(&mut lambda.body);
            let pair = match name.as_str() {
                "transform_values" => vec![text("key"), field(&entry, "key"), text("value"), changed],
                _ => vec![text("key"), changed, text("value"), field(&entry, "value")],
            };
            *lambda.body = call("named_struct", pair);
            let entries = call("array_transform", vec![call("map_entries", vec![map]), Expr::Lambda(lambda)]);
            Some(call("map_from_entries", vec![entries]))
        }
        _ => None,
    }
}

/// Fields have the names that they are given, or those of the columns that they are.
fn struct_of(values: Vec<Expr>) -> Expr {
    let mut pairs = Vec::new();
    for (index, one) in values.into_iter().enumerate() {
        let (name, value) = match one {
            Expr::Named { expr, name } => (Some(name.value), *expr),
            one => (name_of(&one), one),
        };
        pairs.push(text(&name.unwrap_or_else(|| format!("col{}", index + 1))));
        pairs.push(value);
    }
    call("named_struct", pairs)
}

/// Aggregates over distinct values that are functions of their own.
fn distinct_written(function: &Function, name: &str) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if list.duplicate_treatment != Some(DuplicateTreatment::Distinct) || !list.clauses.is_empty() {
        return None;
    }
    let mut bare = function.clone();
    if let FunctionArguments::List(list) = &mut bare.args {
        list.duplicate_treatment = None;
    }
    let arguments = plain_arguments(&bare)?;
    let ours = match (name, arguments.len()) {
        ("sum", 1) => "sum_distinct",
        ("avg" | "mean", 1) => "avg_distinct",
        ("count", 2..) => "count_distinct",
        ("collect_set", 1) => "collect_set",
        ("array_agg" | "collect_list", 1) => "collect_set",
        _ => return None,
    };
    Some(renamed(function, ours, arguments))
}

/// The name of a column, if the expression is one.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.to_lowercase()),
        _ => None,
    }
}

fn field(entry: &str, name: &str) -> Expr {
    call("get_field", vec![Expr::Identifier(Ident::new(entry)), text(name)])
}

/// `v.a.b` of a variable `v`, which only a column could be otherwise, as the fields that it names.
fn fields_of_variables(lambda: &mut LambdaFunction) {
    let names: Vec<String> = lambda.params.iter().map(|parameter| parameter.name.value.to_lowercase()).collect();
    let _ = visit_expressions_mut(lambda.body.as_mut(), |expr| {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [variable, fields @ ..] = parts.as_slice()
            && names.contains(&variable.value.to_lowercase())
        {
            let variable = Expr::Identifier(variable.clone());
            *expr = fields.iter().fold(variable, |value, name| call("get_field", vec![value, text(&name.value)]));
        }
        ControlFlow::<()>::Continue(())
    });
}

/// One variable in place of several, each of which is one of its fields; gives its name. It is made of theirs, so that
/// it hides of the lambdas around it exactly what they would hide.
fn substitute(lambda: &mut LambdaFunction, fields: &[&str]) -> String {
    let names: Vec<String> = lambda.params.iter().map(|parameter| parameter.name.value.to_lowercase()).collect();
    let entry = format!("__entry_{}", names.join("_"));
    let _ = visit_expressions_mut(lambda.body.as_mut(), |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(index) = names.iter().position(|name| *name == ident.value.to_lowercase())
            && let Some(name) = fields.get(index)
        {
            *expr = field(&entry, name);
        }
        ControlFlow::<()>::Continue(())
    });
    if let Some(mut parameter) = lambda.params.first().cloned() {
        parameter.name = Ident::new(&entry);
        lambda.params = OneOrManyWithParens::One(parameter);
    }
    entry
}
