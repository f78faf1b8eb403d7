//! CPU levels: the closed list of instruction sets that code is made for, and which of them this machine can run.

use std::fmt;
use std::str::FromStr;

/// An instruction set that code is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// Plain x86-64: SSE2.
    X86_64,
    /// x86-64-v3: AVX2, FMA, F16C, BMI.
    X86_64V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL.
    X86_64V4,
    /// x86-64-v4 with AVX-512 VNNI.
    X86_64V4Vnni,
    /// 64-bit Arm with NEON.
    Aarch64,
}

/// A CPU level that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown CPU level `{0}`; known: x86-64, x86-64-v3, x86-64-v4, x86-64-v4-vnni, aarch64")]
pub struct LevelError(pub String);

impl Level {
    /// Every level, weakest first within an architecture.
    pub const ALL: [Level; 5] = [Level::X86_64, Level::X86_64V3, Level::X86_64V4, Level::X86_64V4Vnni, Level::Aarch64];

    /// The name that `--cpu` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::X86_64 => "x86-64",
            Level::X86_64V3 => "x86-64-v3",
            Level::X86_64V4 => "x86-64-v4",
            Level::X86_64V4Vnni => "x86-64-v4-vnni",
            Level::Aarch64 => "aarch64",
        }
    }

    /// Whether code for this level is x86-64 code.
    pub fn is_x86(self) -> bool {
        self != Level::Aarch64
    }

    /// Whether this machine can run code made for this level.
    pub fn available(self) -> bool {
        available(self)
    }

    /// The best level of this machine; `None` on an architecture that no level covers.
    pub fn host() -> Option<Level> {
        Level::ALL.into_iter().rev().find(|level| level.available())
    }

    /// What a machine needs for this level, in words.
    pub fn requirement(self) -> &'static str {
        match self {
            Level::X86_64 => "an x86-64 processor",
            Level::X86_64V3 => "an x86-64 processor with AVX2, FMA, F16C, BMI1 and BMI2",
            Level::X86_64V4 => "an x86-64 processor with AVX-512 F, BW, CD, DQ and VL",
            Level::X86_64V4Vnni => "an x86-64 processor with AVX-512 F, BW, CD, DQ, VL and VNNI",
            Level::Aarch64 => "a 64-bit Arm processor",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn available(level: Level) -> bool {
    use std::arch::is_x86_feature_detected as has;
    let v3 = || {
        has!("avx2") && has!("fma") && has!("f16c") && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("movbe")
    };
    let v4 = || v3() && has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    match level {
        Level::X86_64 => true,
        Level::X86_64V3 => v3(),
        Level::X86_64V4 => v4(),
        Level::X86_64V4Vnni => v4() && has!("avx512vnni"),
        Level::Aarch64 => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn available(level: Level) -> bool {
    cfg!(target_arch = "aarch64") && level == Level::Aarch64
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = LevelError;
    fn from_str(text: &str) -> Result<Self, LevelError> {
        Level::ALL.into_iter().find(|level| level.name() == text).ok_or_else(|| LevelError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("x86-64-v2".parse::<Level>().is_err());
    }

    #[test]
    fn host_runs_its_own_level() {
        if let Some(level) = Level::host() {
            assert!(level.available());
            assert!(Level::ALL.iter().filter(|l| **l > level && l.is_x86() == level.is_x86()).all(|l| !l.available()));
        }
    }
}
