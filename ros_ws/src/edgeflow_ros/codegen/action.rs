//! Actions: beside goal, result and feedback, rosidl derives two services and a message that carry
//! them over the wire, and so does this.

use super::hash::Types;
use anyhow::{Context, Result};
use hiroz_codegen::{
    parser::msg::parse_msg_string,
    types::{ArrayType, Field, FieldType, ParsedAction, ParsedMessage, ParsedService, ResolvedMessage, ResolvedService},
};

/// One action with everything that rosidl derives from it.
pub struct Action {
    pub package: String,
    pub name: String,
    goal: ResolvedMessage,
    result: ResolvedMessage,
    feedback: ResolvedMessage,
    feedback_message: ResolvedMessage,
    send_goal: ResolvedService,
    get_result: ResolvedService,
}

impl Action {
    /// Messages by the end of their name.
    pub fn messages(&self) -> [(&'static str, &ResolvedMessage); 4] {
        [("Goal", &self.goal), ("Result", &self.result), ("Feedback", &self.feedback), ("FeedbackMessage", &self.feedback_message)]
    }

    /// Services by the end of their name.
    pub fn services(&self) -> [(&'static str, &ResolvedService); 2] {
        [("SendGoal", &self.send_goal), ("GetResult", &self.get_result)]
    }
}

/// The items of the action's trait, the same on both stacks: r2r's generated ones, field for field.
pub const ITEMS: &str = "\
    type Goal = Goal;
    type Result = Result;
    type Feedback = Feedback;
    type FeedbackMessage = FeedbackMessage;
    type SendGoal = SendGoal::Service;
    type GetResult = GetResult::Service;
    fn make_goal_request_msg(goal_id: crate::messages::unique_identifier_msgs::msg::UUID, goal: Goal) -> SendGoal::Request {
        SendGoal::Request { goal_id, goal }
    }
    fn make_goal_response_msg(accepted: bool, stamp: crate::messages::builtin_interfaces::msg::Time) -> SendGoal::Response {
        SendGoal::Response { accepted, stamp }
    }
    fn make_feedback_msg(goal_id: crate::messages::unique_identifier_msgs::msg::UUID, feedback: Feedback) -> FeedbackMessage {
        FeedbackMessage { goal_id, feedback }
    }
    fn make_result_request_msg(goal_id: crate::messages::unique_identifier_msgs::msg::UUID) -> GetResult::Request {
        GetResult::Request { goal_id }
    }
    fn make_result_response_msg(status: i8, result: Result) -> GetResult::Response {
        GetResult::Response { status, result }
    }
    fn destructure_goal_request_msg(msg: SendGoal::Request) -> (crate::messages::unique_identifier_msgs::msg::UUID, Goal) {
        (msg.goal_id, msg.goal)
    }
    fn destructure_goal_response_msg(msg: SendGoal::Response) -> (bool, crate::messages::builtin_interfaces::msg::Time) {
        (msg.accepted, msg.stamp)
    }
    fn destructure_feedback_msg(msg: FeedbackMessage) -> (crate::messages::unique_identifier_msgs::msg::UUID, Feedback) {
        (msg.goal_id, msg.feedback)
    }
    fn destructure_result_response_msg(msg: GetResult::Response) -> (i8, Result) {
        (msg.status, msg.result)
    }
    fn destructure_result_request_msg(msg: GetResult::Request) -> crate::messages::unique_identifier_msgs::msg::UUID {
        msg.goal_id
    }
";

/// Goal, result and feedback. Read anew, as messages are read: `hiroz-codegen`'s own reader of actions takes
/// a bounded string for a constant.
pub fn parts(action: &ParsedAction) -> Result<[ParsedMessage; 3]> {
    let lines: Vec<_> = action.source.lines().collect();
    let parts: Vec<_> = lines
        .split(|line| line.trim() == "---")
        .map(|part| parse_msg_string(&part.join("\n"), &action.package, &action.path))
        .collect::<Result<_>>()?;
    parts.try_into().ok().with_context(|| format!("{}/action/{} must have goal, result and feedback", action.package, action.name))
}

/// An action whose parts consist of what is known.
pub fn resolve(types: &mut Types, action: ParsedAction) -> Result<Action> {
    let [goal, result, feedback] = parts(&action)?;
    let ParsedAction { name, package, source, path, .. } = action;
    let full = |part: &str| format!("{package}/action/{name}_{part}");
    let made = |part: &str, fields: Vec<Field>| ParsedMessage {
        name: format!("{name}_{part}"),
        package: package.clone(),
        fields,
        constants: Vec::new(),
        source: String::new(),
        path: path.clone(),
    };
    let own = |field: &str, part: &str| nested(field, &package, &format!("{name}_{part}"));
    let goal_id = || nested("goal_id", "unique_identifier_msgs", "UUID");
    let service = |part: &str, request: Vec<Field>, response: Vec<Field>| ParsedService {
        name: format!("{name}_{part}"),
        package: package.clone(),
        request: made(&format!("{part}_Request"), request),
        response: made(&format!("{part}_Response"), response),
        source: source.clone(),
        path: path.clone(),
    };

    // Each only after what it consists of.
    let goal = types.message(goal, &full("Goal"))?;
    let result = types.message(result, &full("Result"))?;
    let feedback = types.message(feedback, &full("Feedback"))?;
    let feedback_message = made("FeedbackMessage", vec![goal_id(), own("feedback", "Feedback")]);
    let feedback_message = types.message(feedback_message, &full("FeedbackMessage"))?;
    let accepted = vec![primitive("accepted", "bool"), nested("stamp", "builtin_interfaces", "Time")];
    let send_goal = types.service(service("SendGoal", vec![goal_id(), own("goal", "Goal")], accepted), &full("SendGoal"))?;
    let ended = vec![primitive("status", "int8"), own("result", "Result")];
    let get_result = types.service(service("GetResult", vec![goal_id()], ended), &full("GetResult"))?;
    Ok(Action { package, name, goal, result, feedback, feedback_message, send_goal, get_result })
}

fn nested(name: &str, package: &str, ty: &str) -> Field {
    field(name, ty, Some(package.to_string()))
}

fn primitive(name: &str, ty: &str) -> Field {
    field(name, ty, None)
}

fn field(name: &str, ty: &str, package: Option<String>) -> Field {
    let field_type = FieldType { base_type: ty.to_string(), package, array: ArrayType::Single, string_bound: None };
    Field { name: name.to_string(), field_type, default: None }
}
