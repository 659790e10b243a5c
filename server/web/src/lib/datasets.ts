// What MLflow's clients note of a dataset beside its name and digest: texts that mostly are JSON, in shapes of their own. Pure.

function parsed(text: string | null | undefined): unknown {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `1797 rows, 65 columns`, from a profile; empty when it says nothing of the kind. */
export function counted(profile: string | null | undefined): string {
  const found = parsed(profile);
  if (typeof found !== 'object' || found === null) return '';
  return Object.entries(found)
    .filter(([, value]) => typeof value === 'number' || (Array.isArray(value) && value.every((part) => typeof part === 'number')))
    .slice(0, 4)
    .map(([key, value]) => `${Array.isArray(value) ? `[${value.join(', ')}]` : String(value)} ${key.replace(/^num_/, '').replaceAll('_', ' ')}`)
    .join(', ');
}

/** Names of the columns in a schema of MLflow's (`mlflow_colspec`), if that is what it is. */
export function columnNames(schema: string | null | undefined): string[] {
  const found = parsed(schema) as { mlflow_colspec?: unknown } | null;
  if (!Array.isArray(found?.mlflow_colspec)) return [];
  return found.mlflow_colspec.map((column: unknown, i) => String((column as { name?: unknown } | null)?.name ?? i));
}
