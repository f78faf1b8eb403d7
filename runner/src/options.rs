//! Options of everything that runs a model.

use std::path::PathBuf;

/// Where inputs come from and where outputs go.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Inputs: an .npz archive whose arrays are named as the model's inputs
    #[arg(long, value_name = "F.npz")]
    pub inputs: Option<PathBuf>,
    /// One input from an .npy file; may be given several times
    #[arg(long = "input", value_name = "NAME=F.npy")]
    pub input: Vec<String>,
    /// Pictures (PNG, JPEG), resized to the model's image input and scaled to 0..1
    #[arg(long, value_name = "F", num_args = 1..)]
    pub image: Vec<PathBuf>,
    /// Subtracted from the scaled pictures: one number, or one per channel
    #[arg(long, value_name = "M,M,M", value_delimiter = ',', allow_negative_numbers = true)]
    pub mean: Vec<f32>,
    /// Then divided by: one number, or one per channel
    #[arg(long, value_name = "S,S,S", value_delimiter = ',')]
    pub std: Vec<f32>,
    /// Names of the classes, one a line
    #[arg(long, value_name = "F")]
    pub labels: Option<PathBuf>,
    /// Writes the outputs to an .npz archive instead of showing a summary; maps as the arrays NAME.keys and NAME.values, of a
    /// sequence of maps one row of values for each
    #[arg(long, value_name = "F.npz")]
    pub outputs: Option<PathBuf>,
    /// Number of threads; 0 stands for one per core that may be used
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Seed of the random inputs that stand in where none are given
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Runs N times more on the same inputs and shows their times: least, median, and what 99 % do not exceed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub repeat: usize,
}
