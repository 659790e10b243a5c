// Files of runs and logged models: where they are on the control plane, and what of them can be shown.

export interface Artifact {
  /** Its name in its folder. */
  path: string;
  is_dir: boolean;
  file_size?: number;
}

/** The folder on the control plane that an artifact URI names; null when the files are kept elsewhere. */
export function artifactRoot(uri: string): string | null {
  const match = /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.*?)\/*$/.exec(uri);
  if (!match) return null;
  try {
    return decodeURIComponent(match[1] ?? '');
  } catch {
    return match[1] ?? '';
  }
}

/** Folders first, then files, each by name as people count. */
export function inOrder(files: readonly Artifact[]): Artifact[] {
  return [...files].sort((a, b) => Number(b.is_dir) - Number(a.is_dir) || a.path.localeCompare(b.path, 'en', { numeric: true }));
}

const TEXTS = /(^|\/)(MLmodel|requirements|Dockerfile|LICENSE|README)$|\.(txt|json|jsonl|ya?ml|csv|tsv|md|py|log|toml|ini|cfg|xml|html|js|ts|sh|rs|sql)$/i;
/** Larger texts are for an editor. */
export const MOST_SHOWN_BYTES = 256 * 1024;

/** Whether a file can be read on the page. */
export const readable = (file: Artifact): boolean => !file.is_dir && TEXTS.test(file.path) && (file.file_size ?? 0) <= MOST_SHOWN_BYTES;
