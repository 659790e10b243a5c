//! Two arms given as JSON, compared as gates do, as JSON: what `tests/test_gate_parity.py` holds against SciPy.
//!
//! In: `{"measure": "amount", "paired": false, "updated": [[[value, frames], ...], ...], "others": [...], "bound": 0.0}`: a list of reports for each
//! robot; when paired the robots of both sides go together.

#![allow(clippy::print_stdout, reason = "its answer")]

use std::error::Error;

use edgeflow_core::rollout::Reported;
use edgeflow_core::rollout::gate::{Measure, RobotMean, paired, unpaired};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Question {
    measure: String,
    paired: bool,
    updated: Vec<Vec<(f64, u64)>>,
    others: Vec<Vec<(f64, u64)>>,
    bound: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let question: Question = serde_json::from_reader(std::io::stdin())?;
    let measure = match question.measure.as_str() {
        "share_of_frames" => Measure::ShareOfFrames,
        "share_of_reports" => Measure::ShareOfReports,
        "amount" => Measure::Amount,
        other => return Err(format!("unknown measure {other}").into()),
    };
    let mean = |reports: &Vec<(f64, u64)>| {
        let reports: Vec<Reported> =
            reports.iter().zip(0..).map(|((value, frames), t_us)| Reported { t_us, value: *value, frames: *frames }).collect();
        RobotMean::of(&reports, measure).ok_or("a robot without reports")
    };
    let [updated, others] = [&question.updated, &question.others].map(|arm| arm.iter().map(mean).collect::<Result<Vec<_>, _>>());
    let (updated, others) = (updated?, others?);
    let robots = |arm: &[RobotMean]| arm.iter().map(|robot| (robot.mean, robot.variance, robot.freedom)).collect::<Vec<_>>();
    let difference = if question.paired {
        let pairs: Vec<_> = updated.iter().copied().zip(others.iter().copied()).collect();
        paired(&pairs)?
    } else {
        unpaired(&updated, &others)?
    };
    let answer = json!({
        "updated": robots(&updated),
        "others": robots(&others),
        "difference": difference.value,
        "error": difference.error,
        "freedom": difference.freedom,
        "above": difference.chance_above(question.bound),
        "below": difference.chance_below(question.bound),
        "half_width": difference.half_width(0.025),
    });
    println!("{answer}");
    Ok(())
}
