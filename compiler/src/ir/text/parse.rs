//! From text to graph.

use super::attr::{Attr, Attrs};
use super::lex::{Token, tokens};
use super::op::build;
use super::weight::{WeightSource, parse_element};
use crate::ir::infer::infer;
use crate::ir::*;
use brolga_runtime::{DType, element_count};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a text is no graph, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

type Result<T> = std::result::Result<T, ParseError>;

/// Brackets may be nested this deep.
const MAX_DEPTH: usize = 200;

/// The graph that a text describes. Constants that the text names by hash come from `weights`. Types are taken as the text
/// says; [`verify`](crate::ir::verify::verify) tells whether they are right.
pub fn parse(text: &str, weights: &dyn WeightSource) -> Result<Graph> {
    let tokens = tokens(text).map_err(|(line, what)| ParseError { line, what })?;
    let mut parser = Parser { tokens, at: 0, weights, graph: Graph::new(""), ids: HashMap::new(), depth: 0 };
    parser.graph()
}

struct Parser<'a> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    weights: &'a dyn WeightSource,
    graph: Graph,
    /// From numbers in the text to values of the graph.
    ids: HashMap<u32, ValueId>,
    depth: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T> {
        let last = self.tokens.len().saturating_sub(1);
        let line = self.tokens.get(self.at.min(last)).map_or(1, |t| t.0);
        Err(ParseError { line, what: what.into() })
    }
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, t)| t)
    }
    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }
    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }
    fn mark(&mut self, mark: char) -> bool {
        self.take(&Token::Mark(mark))
    }
    fn expect(&mut self, mark: char) -> Result<()> {
        if self.mark(mark) { Ok(()) } else { self.fail(format!("expected '{mark}', found {}", self.shown())) }
    }
    fn shown(&self) -> String {
        match self.peek() {
            Some(Token::Mark(c)) => format!("'{c}'"),
            Some(Token::Newline) => "the end of the line".into(),
            Some(Token::Word(t) | Token::Number(t)) => format!("'{t}'"),
            Some(Token::Text(t)) => format!("{t:?}"),
            Some(Token::Id(c, n)) => format!("'{c}{n}'"),
            None => "the end".into(),
        }
    }
    fn keyword(&mut self, word: &str) -> Result<()> {
        if self.take(&Token::Word(word.into())) {
            Ok(())
        } else {
            self.fail(format!("expected {word}, found {}", self.shown()))
        }
    }
    fn word(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.fail(format!("expected a word, found {}", self.shown())),
        }
    }
    fn text(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => self.fail(format!("expected a quoted name, found {}", self.shown())),
        }
    }
    fn id(&mut self) -> Result<u32> {
        match self.peek() {
            Some(Token::Id('%', id)) => {
                let id = *id;
                self.at += 1;
                Ok(id)
            }
            _ => self.fail(format!("expected a value, found {}", self.shown())),
        }
    }
    fn number<T: std::str::FromStr>(&mut self) -> Result<T> {
        let found = match self.peek() {
            Some(Token::Number(text)) => text.parse().ok(),
            _ => None,
        };
        match found {
            Some(number) => {
                self.at += 1;
                Ok(number)
            }
            None => self.fail(format!("expected a number, found {}", self.shown())),
        }
    }
    /// `begin item, item end`.
    fn list<T>(&mut self, begin: char, end: char, item: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect(begin)?;
        let mut found = Vec::new();
        while !self.mark(end) {
            if !found.is_empty() {
                self.expect(',')?;
            }
            found.push(item(self)?);
        }
        Ok(found)
    }
    fn lines(&mut self) {
        while self.take(&Token::Newline) {}
    }

    fn graph(&mut self) -> Result<Graph> {
        self.lines();
        let graph = self.block()?;
        self.lines();
        match self.peek() {
            Some(_) => self.fail("there is text after the graph"),
            None => Ok(graph),
        }
    }

    /// The body of a control-flow operation: a graph with numbers of its own.
    fn body(&mut self) -> Result<Attr> {
        let graph = std::mem::replace(&mut self.graph, Graph::new(""));
        let ids = std::mem::take(&mut self.ids);
        let body = self.block()?;
        (self.graph, self.ids) = (graph, ids);
        Ok(Attr::Graph(Body::new(body)))
    }

    fn block(&mut self) -> Result<Graph> {
        self.keyword("graph")?;
        self.graph.name = self.text()?;
        let inputs = self.list('(', ')', |p| {
            let (id, name) = (p.id()?, p.text()?);
            p.expect(':')?;
            Ok((id, name, p.ty()?))
        })?;
        for (id, name, ty) in inputs {
            let value = self.graph.add_input(name, ty);
            self.define(id, value)?;
        }
        self.expect('>')?;
        let outputs = self.list('(', ')', |p| Ok((p.id()?, p.text()?)))?;
        self.keyword("phase")?;
        self.graph.phase = match self.word()?.as_str() {
            "imported" => Phase::Imported,
            "optimized" => Phase::Optimized,
            "laid-out" => Phase::LaidOut,
            other => return self.fail(format!("there is no phase {other}")),
        };
        self.expect('{')?;
        self.lines();
        while !self.mark('}') {
            self.line()?;
            if !self.take(&Token::Newline) {
                return self.fail(format!("expected the end of the line, found {}", self.shown()));
            }
            self.lines();
        }
        for (id, name) in outputs {
            let value = self.value(id)?;
            self.graph.add_output(name, value);
        }
        let names = self.ids.iter().map(|(id, value)| (*value, ValueId(*id))).collect();
        self.graph.renumber(&names);
        Ok(self.graph.clone())
    }

    fn define(&mut self, id: u32, value: ValueId) -> Result<()> {
        if id == u32::MAX {
            return self.fail(format!("%{id} is too large a number"));
        }
        match self.ids.insert(id, value) {
            None => Ok(()),
            Some(_) => self.fail(format!("%{id} is defined twice")),
        }
    }
    fn value(&self, id: u32) -> Result<ValueId> {
        match self.ids.get(&id) {
            Some(value) => Ok(*value),
            None => self.fail(format!("%{id} is not defined before this line")),
        }
    }

    /// A weight or a node.
    fn line(&mut self) -> Result<()> {
        let mut results = vec![self.id()?];
        while self.mark(',') {
            results.push(self.id()?);
        }
        self.expect('=')?;
        let mut name = self.word()?;
        let deferred = name == "deferred";
        if deferred {
            name = self.word()?;
        }
        if name == "weight" && !deferred {
            let [id] = results[..] else { return self.fail("a weight is one value") };
            return self.weight(id);
        }
        let mut inputs = Vec::new();
        while let Some(Token::Id('%', id)) = self.peek() {
            inputs.push(self.value(*id)?);
            self.at += 1;
            if !self.mark(',') {
                break;
            }
        }
        let attrs = if self.peek() == Some(&Token::Mark('{')) { self.list('{', '}', Parser::attr)? } else { vec![] };
        let attrs = Attrs::new(attrs);
        let op = build(&name, &attrs, inputs.len()).and_then(|op| attrs.finish().map(|()| op));
        let op = op.or_else(|what| self.fail(format!("{name}: {what}")))?;
        let mut op = if deferred { Op::Deferred { op: Box::new(op), results: vec![] } } else { op };
        self.expect(':')?;
        let mut types = vec![self.ty()?];
        while self.mark(',') {
            types.push(self.ty()?);
        }
        if types.len() != results.len() {
            return self.fail(format!("{} results, {} types", results.len(), types.len()));
        }
        let label = if self.mark(';') { self.text()? } else { String::new() };
        if let Some(results) = op.stored_results_mut() {
            results.clone_from(&types);
        }
        // What inference refuses, the verifier complains about; here it only tells the elements of shapes.
        let known = infer(&self.graph, &op, &inputs, results.len(), &label).unwrap_or_default();
        let mut known = known.into_iter().map(|(_, content)| content);
        let typed = types.into_iter().map(|ty| (ty, known.next().flatten())).collect();
        let outputs = self.graph.add_typed_node(op, &inputs, typed, label);
        results.into_iter().zip(outputs).try_for_each(|(id, value)| self.define(id, value))
    }

    fn attr(&mut self) -> Result<(String, Attr)> {
        let key = self.word()?;
        let value = if self.mark('=') { self.attr_value()? } else { Attr::True };
        Ok((key, value))
    }

    fn attr_value(&mut self) -> Result<Attr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("brackets are nested too deep");
        }
        let value = match self.peek().cloned() {
            Some(Token::Mark('[')) => Attr::List(self.list('[', ']', Parser::attr_value)?),
            Some(Token::Number(text)) => {
                self.at += 1;
                Attr::Number(text)
            }
            Some(Token::Id(kind @ ('$' | '@'), id)) => {
                self.at += 1;
                if kind == '$' { Attr::Operand(id) } else { Attr::Step(id) }
            }
            Some(Token::Word(word))
                if word == "graph" && matches!(self.tokens.get(self.at + 1), Some((_, Token::Text(_)))) =>
            {
                self.body()?
            }
            Some(Token::Word(word)) => {
                let call = matches!(self.tokens.get(self.at + 1), Some((_, Token::Mark('('))));
                // min and max of extents are steps of an expression when their operands are.
                let operand = matches!(self.tokens.get(self.at + 2), Some((_, Token::Id(..) | Token::Number(_))));
                if call && (operand || !matches!(word.as_str(), "min" | "max")) {
                    self.at += 1;
                    self.call(word)?
                } else if call {
                    Attr::Dim(self.dim()?)
                } else {
                    self.at += 1;
                    Attr::Word(word)
                }
            }
            _ => Attr::Dim(self.dim()?),
        };
        self.depth -= 1;
        Ok(value)
    }

    /// A step of an expression, or `min(3, n)` over extents.
    fn call(&mut self, name: String) -> Result<Attr> {
        self.expect('(')?;
        let (mut args, mut parameters) = (Vec::new(), Vec::new());
        while !self.mark(')') {
            if !args.is_empty() {
                self.expect(',')?;
            }
            if let (Some(Token::Word(_)), Some((_, Token::Mark('=')))) = (self.peek(), self.tokens.get(self.at + 1)) {
                parameters.push(self.attr()?);
            } else {
                args.push(self.attr_value()?);
            }
        }
        if let ("min" | "max", [Attr::Number(a), b @ (Attr::Word(_) | Attr::Dim(_))]) = (name.as_str(), &args[..]) {
            let a = a.parse().map(Dim::Const).or_else(|_| self.fail(format!("{a} is no extent")))?;
            let b = match b {
                Attr::Dim(dim) => dim.clone(),
                other => Dim::symbol(other.to_string()),
            };
            let make = if name == "min" { DimExpr::Min } else { DimExpr::Max };
            return Ok(Attr::Dim(Dim::Expr(Arc::new(make(a, b)))));
        }
        Ok(Attr::Call(name, args, parameters))
    }

    fn dim(&mut self) -> Result<Dim> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("brackets are nested too deep");
        }
        let make = |e: DimExpr| Dim::Expr(Arc::new(e));
        let dim = match self.next() {
            Some(Token::Number(text)) => match text.parse() {
                Ok(n) => Dim::Const(n),
                Err(_) => return self.fail(format!("{text} is no extent")),
            },
            Some(Token::Text(name)) => Dim::symbol(name),
            Some(Token::Word(word)) if word == "min" || word == "max" => {
                self.expect('(')?;
                let a = self.dim()?;
                self.expect(',')?;
                let b = self.dim()?;
                self.expect(')')?;
                make(if word == "min" { DimExpr::Min(a, b) } else { DimExpr::Max(a, b) })
            }
            Some(Token::Word(name)) => Dim::symbol(name),
            Some(Token::Mark('(')) => {
                let a = self.dim()?;
                let sign = self.next();
                let b = self.dim()?;
                self.expect(')')?;
                make(match sign {
                    Some(Token::Mark('+')) => DimExpr::Add(a, b),
                    Some(Token::Mark('-')) => DimExpr::Sub(a, b),
                    Some(Token::Mark('*')) => DimExpr::Mul(a, b),
                    Some(Token::Mark('/')) => DimExpr::Div(a, b),
                    Some(Token::Mark('%')) => DimExpr::Mod(a, b),
                    _ => return self.fail("expected one of + - * / %"),
                })
            }
            _ => {
                self.at -= 1;
                return self.fail(format!("expected an extent, found {}", self.shown()));
            }
        };
        self.depth -= 1;
        Ok(dim)
    }

    fn dtype(&mut self) -> Result<DType> {
        let name = self.word()?;
        match DType::from_name(&name) {
            Some(dtype) => Ok(dtype),
            None => self.fail(format!("there is no element type {name}")),
        }
    }

    fn ty(&mut self) -> Result<Type> {
        let kind = match self.peek() {
            Some(Token::Word(word)) => Kind::from_prefix(word),
            _ => None,
        };
        self.at += usize::from(kind.is_some());
        let dtype = self.dtype()?;
        let shape = self.list('[', ']', Parser::dim)?;
        let mut ty = Type { kind: kind.unwrap_or_default(), ..Type::new(dtype, shape) };
        if let Some(Token::Word(word)) = self.peek()
            && let Some(lanes) = word.strip_prefix("nchw").and_then(|w| w.strip_suffix('c'))
        {
            let Ok(lanes) = lanes.parse() else { return self.fail(format!("there is no layout {word}")) };
            self.at += 1;
            let mut halo = Halo::default();
            if self.take(&Token::Word("halo".into())) {
                halo =
                    Halo { top: self.number()?, left: self.number()?, bottom: self.number()?, right: self.number()? };
            }
            ty.layout = Layout::Blocked { lanes, halo };
        }
        Ok(ty)
    }

    fn element(&mut self, dtype: DType) -> Result<[u8; 8]> {
        let found = match self.peek() {
            Some(Token::Number(text)) => parse_element(dtype, text),
            _ => None,
        };
        self.at += 1;
        found.map_or_else(|| self.fail(format!("expected an element of type {dtype}")), Ok)
    }

    fn weight(&mut self, id: u32) -> Result<()> {
        let name = self.text()?;
        self.expect(':')?;
        let ty = self.ty()?;
        self.expect('=')?;
        let Some(shape) = ty.dims() else { return self.fail("the extents of a weight are numbers") };
        let (source, given) = self.source(&name, ty.dtype)?;
        let usizes = |p: &mut Self| p.list('[', ']', Parser::number::<usize>);
        let source_shape = if self.take(&Token::Word("of".into())) { usizes(self)? } else { shape.clone() };
        let perm = if self.take(&Token::Word("perm".into())) { usizes(self)? } else { vec![] };
        let reshape = self.take(&Token::Word("reshape".into())).then(|| shape.clone());
        let count = element_count(&source_shape);
        if count.is_none() || element_count(&shape) != count || given.is_some_and(|n| Some(n) != count) {
            return self.fail(format!("{source_shape:?} has not as many elements as {shape:?} and the data"));
        }
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !perm.is_empty() && !sorted.into_iter().eq(0..source_shape.len()) {
            return self.fail(format!("{perm:?} is no permutation"));
        }
        let mut scales = Vec::new();
        while self.take(&Token::Word("scale".into())) {
            scales.push(self.scale(&shape, ty.dtype)?);
        }
        let weight = Weight { dtype: ty.dtype, source_shape, source, perm, reshape, scales };
        if weight.shape() != shape {
            return self.fail(format!("the weight has shape {:?}, not {shape:?}", weight.shape()));
        }
        let value = self.graph.add_weight(name, weight);
        self.define(id, value)
    }

    /// Elements, and how many there are unless it is a splat.
    fn source(&mut self, name: &str, dtype: DType) -> Result<(Source, Option<usize>)> {
        let width = dtype.bytes();
        if width == 0 {
            return self.fail("a weight has numbers or bools");
        }
        if self.take(&Token::Word("splat".into())) {
            return Ok((Source::Splat(self.element(dtype)?), None));
        }
        if self.take(&Token::Word("hash".into())) {
            let hash = self.hash()?;
            let Some(bytes) = self.weights.bytes(name, hash) else {
                return self.fail(format!("the elements of weight {name:?} are not at hand"));
            };
            let count = bytes.len() / width;
            return Ok((Source::Bytes(bytes), Some(count)));
        }
        self.expect('[')?;
        let mut bytes = Vec::new();
        while !self.mark(']') {
            if !bytes.is_empty() {
                self.expect(',')?;
            }
            bytes.extend_from_slice(&self.element(dtype)?[..width]);
        }
        let count = bytes.len() / width;
        Ok((Source::Bytes(Bytes::from(bytes)), Some(count)))
    }

    fn hash(&mut self) -> Result<u64> {
        let text = match self.next() {
            Some(Token::Number(text)) => text,
            _ => String::new(),
        };
        let hash = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        hash.map_or_else(|| self.fail("expected a hash"), Ok)
    }

    fn scale(&mut self, shape: &[usize], dtype: DType) -> Result<Arc<AxisScale>> {
        let axis: usize = self.number()?;
        let scale = if self.take(&Token::Word("hash".into())) {
            let hash = self.hash()?;
            match self.weights.scale(hash) {
                Some(scale) => scale.scale.clone(),
                None => return self.fail("the factors of the weight are not at hand"),
            }
        } else {
            self.list('[', ']', Parser::number::<f64>)?
        };
        if shape.get(axis) != Some(&scale.len()) || dtype != DType::F32 {
            return self.fail(format!("{} factors for dimension {axis} of {dtype}{shape:?}", scale.len()));
        }
        Ok(Arc::new(AxisScale { axis, scale }))
    }
}
