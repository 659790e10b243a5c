// Declared and actual: what is otherwise than declared, slots that were changed on a robot, and what an operator decides about them.

/** Something that is otherwise than it was declared. */
export interface Difference {
  /** `slot:NAME`, `software:NAME`, `config:NAME` or `policy`. */
  what: string;
  declared: string;
  actual: string;
}

/** One side of a slot that was changed on the robot. */
export interface ConflictSide {
  model: string;
  version: string;
  digest: string;
  /** Changes made on the robot that this side knows of. */
  changes: number;
  /** Generation of the declaration that this side knows of. */
  generation: number;
}

/** A slot that was changed on the robot. */
export interface Conflict {
  slot: string;
  kind: string;
  /** `conflict` when something else was declared meanwhile. */
  standing: 'local' | 'conflict';
  what: string;
  since_us: number;
  robot: ConflictSide;
  control: ConflictSide;
}

/** Whose content a slot shall have. */
export type Side = 'robot' | 'control';

/** Of the slot that is asked about, or of several slots at once: in one generation, or not at all. */
export type ConflictDecision = { take: Side } | { merge: Record<string, Side> };

/** Slot to its side; what nobody chose for is left as it is. */
export type Choices = Readonly<Record<string, Side | undefined>>;

/** What is asked for when these sides are chosen, and about which slot; `null` as long as nothing is. */
export function decisionOf(conflicts: readonly Conflict[], choices: Choices): { slot: string; decision: ConflictDecision } | null {
  const chosen = conflicts.flatMap(({ slot }): [string, Side][] => {
    const side = choices[slot];
    return side === undefined ? [] : [[slot, side]];
  });
  const [first] = chosen;
  if (first === undefined) return null;
  return { slot: first[0], decision: chosen.length === 1 ? { take: first[1] } : { merge: Object.fromEntries(chosen) } };
}

/** What one side has, for people: `nav-params v3`. */
export function sideText(side: ConflictSide): string {
  if (side.digest === '' && side.model === '') return 'nothing';
  return side.model === '' ? 'something that is not registered' : `${side.model} v${side.version}`;
}

/** Digests in a text to their first digits, as people compare them. */
export const shortened = (text: string) => text.replace(/sha256:([0-9a-f]{8})[0-9a-f]{56}/g, '$1');

const PARTS: Record<string, string> = { slot: 'Slot', software: 'Software', config: 'Configuration', policy: 'Policy' };

/** `slot:default` for people. */
export function partText(what: string): string {
  const at = what.indexOf(':');
  return at < 0 ? (PARTS[what] ?? what) : `${PARTS[what.slice(0, at)] ?? what.slice(0, at)} ${what.slice(at + 1)}`;
}
