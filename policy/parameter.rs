//! What a shell puts in for a parameter: its value, changed as the expansion says.

use brush_parser::word::{
    Parameter, ParameterExpr, ParameterTestType, SpecialParameter, WordPiece,
};

use crate::word::{Building, MAX_VALUES, Reader};

impl Reader<'_> {
    /// Adds what stands for an expansion, which is `source` as it was written.
    pub(crate) fn parameter(
        &mut self,
        expansion: &ParameterExpr,
        source: &str,
        quoted: bool,
        building: &mut Building,
        depth: usize,
    ) {
        let Some((parameter, indirect)) = parameter_of(expansion) else {
            building.push(source);
            return;
        };
        let name = name_of(parameter);
        let mut values = self.value(&name);
        let mut name = name;
        if indirect && let Some(other) = values.take().and_then(|names| names.first().cloned()) {
            values = self.value(&other);
            name = other;
        }
        // The home is always set.
        if name == "HOME" && values.is_none() {
            return building.push(if is_whole(expansion) { "$HOME" } else { source });
        }
        match self.operated(expansion, &name, values, depth) {
            Some(values) => {
                self.reading.guessed = true;
                self.reading.put_in += values.iter().map(|value| value.len() + 1).sum::<usize>();
                if quoted {
                    building.values(values.iter().map(String::as_str));
                } else {
                    for (index, value) in values.iter().enumerate() {
                        if index > 0 {
                            building.end();
                        }
                        building.split(value);
                    }
                }
            }
            None if name == "IFS" && !quoted => {
                self.reading.guessed = true;
                building.end();
            }
            None => building.push(source),
        }
    }

    /// The values of a parameter as an operation leaves them: a default in their place, a piece of
    /// them, other letters. `None` where they are not known.
    fn operated(
        &mut self,
        expansion: &ParameterExpr,
        name: &str,
        values: Option<Vec<String>>,
        depth: usize,
    ) -> Option<Vec<String>> {
        use ParameterExpr as E;
        // What is nested in an operation may run something, whether or not it is used.
        let mut nested = |text: &Option<String>| {
            let mut inner = Building::default();
            if let Some(text) = text.as_deref().filter(|_| depth < MAX_VALUES) {
                self.pieces_of(text, &mut inner, depth + 1);
            }
            inner.end();
            inner.done
        };
        let empty = values.as_ref().is_some_and(|values| values.iter().all(String::is_empty));
        let unset = values.is_none();
        // What every shell has set, though its value is not known here.
        let always_set = matches!(name, "PWD" | "OLDPWD" | "USER" | "PATH" | "SHELL");
        match expansion {
            E::UseDefaultValues { test_type, default_value, .. }
            | E::AssignDefaultValues { test_type, default_value, .. } => {
                let default = nested(default_value);
                let missing = (unset && !always_set)
                    || (empty && matches!(test_type, ParameterTestType::UnsetOrNull));
                // Without a default a variable that is not known stays that.
                let said = !unset || default.iter().any(|word| !word.is_empty());
                if missing && said { Some(default) } else { values }
            }
            E::UseAlternativeValue { alternative_value, .. } => {
                let other = nested(alternative_value);
                if empty { Some(Vec::new()) } else { Some(other) }
            }
            E::RemoveSmallestSuffixPattern { pattern, .. }
            | E::RemoveLargestSuffixPattern { pattern, .. } => {
                let end = nested(pattern).concat();
                changed(values, |value| value.strip_suffix(&*end).map(str::to_string))
            }
            E::RemoveSmallestPrefixPattern { pattern, .. }
            | E::RemoveLargestPrefixPattern { pattern, .. } => {
                let start = nested(pattern).concat();
                changed(values, |value| value.strip_prefix(&*start).map(str::to_string))
            }
            E::ReplaceSubstring { pattern, replacement, .. } => {
                let (from, to) =
                    (nested(&Some(pattern.clone())).concat(), nested(replacement).concat());
                changed(values, |value| (!from.is_empty()).then(|| value.replace(&from, &to)))
            }
            E::Substring { offset, length, .. } => {
                let number = |text: &str| text.trim().parse::<usize>().ok();
                let (from, count) = (number(&offset.value), length.as_ref());
                let count = count.map_or(Some(usize::MAX), |it| number(&it.value));
                changed(values, |value| Some(value.chars().skip(from?).take(count?).collect()))
            }
            E::LowercasePattern { .. } => changed(values, |value| Some(value.to_lowercase())),
            E::UppercasePattern { .. } => changed(values, |value| Some(value.to_uppercase())),
            _ => values,
        }
    }
}

/// The parameter that an expansion is of, and whether that names another one; `None` where
/// its value is not what counts.
fn parameter_of(expansion: &ParameterExpr) -> Option<(&Parameter, bool)> {
    use ParameterExpr as E;
    match expansion {
        E::Parameter { parameter, indirect }
        | E::UseDefaultValues { parameter, indirect, .. }
        | E::AssignDefaultValues { parameter, indirect, .. }
        | E::IndicateErrorIfNullOrUnset { parameter, indirect, .. }
        | E::UseAlternativeValue { parameter, indirect, .. }
        | E::RemoveSmallestSuffixPattern { parameter, indirect, .. }
        | E::RemoveLargestSuffixPattern { parameter, indirect, .. }
        | E::RemoveSmallestPrefixPattern { parameter, indirect, .. }
        | E::RemoveLargestPrefixPattern { parameter, indirect, .. }
        | E::Substring { parameter, indirect, .. }
        | E::Transform { parameter, indirect, .. }
        | E::UppercaseFirstChar { parameter, indirect, .. }
        | E::UppercasePattern { parameter, indirect, .. }
        | E::LowercaseFirstChar { parameter, indirect, .. }
        | E::LowercasePattern { parameter, indirect, .. }
        | E::ReplaceSubstring { parameter, indirect, .. } => Some((parameter, *indirect)),
        E::ParameterLength { .. } | E::VariableNames { .. } | E::MemberKeys { .. } => None,
    }
}

fn changed(
    values: Option<Vec<String>>,
    change: impl Fn(&str) -> Option<String>,
) -> Option<Vec<String>> {
    let change = |value: String| change(&value).unwrap_or(value);
    values.map(|values| values.into_iter().map(change).collect())
}

pub(crate) fn is_all_arguments(piece: &WordPiece) -> bool {
    matches!(
        piece,
        WordPiece::ParameterExpansion(ParameterExpr::Parameter {
            parameter: Parameter::Special(SpecialParameter::AllPositionalParameters { .. })
                | Parameter::NamedWithAllIndices { .. },
            ..
        })
    )
}

fn name_of(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Positional(number) => number.to_string(),
        Parameter::Special(SpecialParameter::AllPositionalParameters { .. }) => "@".to_string(),
        Parameter::Special(special) => special.to_string(),
        Parameter::Named(name)
        | Parameter::NamedWithIndex { name, .. }
        | Parameter::NamedWithAllIndices { name, .. } => name.clone(),
    }
}

/// Whether an expansion of the home, which is always set and ends with no slash, leaves it whole.
fn is_whole(expansion: &ParameterExpr) -> bool {
    use ParameterExpr as E;
    match expansion {
        E::Parameter { .. }
        | E::UseDefaultValues { .. }
        | E::AssignDefaultValues { .. }
        | E::IndicateErrorIfNullOrUnset { .. } => true,
        E::RemoveSmallestSuffixPattern { pattern, .. }
        | E::RemoveLargestSuffixPattern { pattern, .. } => pattern.as_deref() == Some("/"),
        E::Substring { offset, length: None, .. } => offset.value.trim() == "0",
        _ => false,
    }
}
