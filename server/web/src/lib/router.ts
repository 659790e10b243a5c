// Addresses of pages: everything behind the #, so that the server has one page to serve. The stock MLflow client prints
// `/#/experiments/{id}` and below, so those are ours too.

export type PageQuery = Readonly<Record<string, string>>;

export type Route =
  | { page: 'fleet' }
  | { page: 'robot'; name: string }
  | { page: 'experiments' }
  | { page: 'experiment'; id: string }
  | { page: 'compare'; id: string }
  | { page: 'run'; id: string; experiment: string | null }
  | { page: 'logged-model'; id: string }
  | { page: 'models'; name: string | null }
  | { page: 'version'; model: string; version: string }
  | { page: 'model-diff'; model: string }
  | { page: 'deployments'; id: string | null }
  | { page: 'declarations' }
  | { page: 'declaration'; revision: string }
  | { page: 'rollouts' }
  | { page: 'rollout'; id: string }
  | { page: 'lineage' }
  | { page: 'lineage-diff' }
  | { page: 'missing'; path: string };

export function parseRoute(hash: string): Route {
  const path = hash.replace(/^#\/?/, '').split('?')[0] ?? '';
  const [page = '', ...rest] = path.replace(/\/+$/, '').split('/').map(decode);
  const name = rest.join('/') || null;
  const [first = '', second, third] = rest;
  switch (page) {
    case '':
      return { page: 'fleet' };
    case 'fleet':
      if (first === '') return { page: 'fleet' };
      if (first !== 'revisions' || third !== undefined) return { page: 'missing', path };
      return second === undefined ? { page: 'declarations' } : { page: 'declaration', revision: second };
    case 'robots':
      return name ? { page: 'robot', name } : { page: 'fleet' };
    case 'experiments':
      if (first === '') return { page: 'experiments' };
      if (second === undefined || (second === 'runs' && third === undefined)) return { page: 'experiment', id: first };
      if (second === 'compare') return { page: 'compare', id: first };
      if (second === 'runs' && third !== undefined) return { page: 'run', id: third, experiment: first };
      if (second === 'models') return third === undefined ? { page: 'experiment', id: first } : { page: 'logged-model', id: third };
      return { page: 'missing', path };
    case 'runs':
      return first === '' ? { page: 'experiments' } : { page: 'run', id: first, experiment: null };
    case 'models':
      if (second === 'versions' && third !== undefined) return { page: 'version', model: first, version: third };
      if (second === 'diff' && third === undefined) return { page: 'model-diff', model: first };
      return { page: 'models', name };
    case 'deployments':
      return { page: 'deployments', id: name };
    case 'rollouts':
      return name ? { page: 'rollout', id: name } : { page: 'rollouts' };
    case 'lineage':
      if (first === '') return { page: 'lineage' };
      return first === 'diff' && second === undefined ? { page: 'lineage-diff' } : { page: 'missing', path };
    default:
      return { page: 'missing', path };
  }
}

/** What stands behind the `?` of an address: how a page is to be shown. */
export function parseQuery(hash: string): PageQuery {
  const at = hash.indexOf('?');
  return at < 0 ? {} : Object.fromEntries(new URLSearchParams(hash.slice(at + 1)));
}

/** An address with what is said of a page; what is empty is left out. */
export function withQuery(href: string, query: Readonly<Record<string, string | number | null | undefined>>): string {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== null && value !== undefined && value !== '') said.set(key, String(value));
  const text = said.toString();
  return text === '' ? href : `${href}?${text}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const part = encodeURIComponent;

export const links = {
  fleet: () => '#/fleet',
  robot: (name: string) => `#/robots/${part(name)}`,
  experiments: () => '#/experiments',
  experiment: (id: string) => `#/experiments/${part(id)}`,
  /** A run; its experiment where that is known. */
  run: (id: string, experiment?: string) => (experiment ? `#/experiments/${part(experiment)}/runs/${part(id)}` : `#/runs/${part(id)}`),
  compare: (experiment: string, runs: readonly string[]) => withQuery(`#/experiments/${part(experiment)}/compare`, { runs: runs.join(',') }),
  loggedModel: (id: string, experiment: string) => `#/experiments/${part(experiment)}/models/${part(id)}`,
  models: (name?: string) => (name ? `#/models/${part(name)}` : '#/models'),
  version: (model: string, version: string) => `#/models/${part(model)}/versions/${part(version)}`,
  modelDiff: (model: string, from: string, to: string, toModel?: string) => withQuery(`#/models/${part(model)}/diff`, { from, to, model: toModel === model ? null : toModel }),
  /** The graph around a robot, a dataset or a bundle. */
  lineage: (of: { target?: string; dataset?: string; digest?: string; at?: number } = {}) => withQuery('#/lineage', of),
  lineageDiff: (of: { before: string; after?: string; before_at?: number; after_at?: number }) => withQuery('#/lineage/diff', of),
  declarations: () => '#/fleet/revisions',
  revision: (revision: number | string) => `#/fleet/revisions/${part(String(revision))}`,
  rollouts: () => '#/rollouts',
  rollout: (id: string) => `#/rollouts/${part(id)}`,
  deployments: (id?: string) => (id ? `#/deployments/${part(id)}` : '#/deployments'),
};

/** The token of a sign-in link `/#token=…`; null when the address carries none. */
export function tokenFromHash(hash: string): string | null {
  const match = /^#\/?token=([^&]+)/.exec(hash);
  return match?.[1] ? decode(match[1]) : null;
}
