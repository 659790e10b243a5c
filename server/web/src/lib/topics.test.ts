import { describe, expect, it } from 'vitest';
import { topicFields } from './topics';

describe('fields of topics', () => {
  it('gathers the series of a field and leaves other channels out', () => {
    const odom = ['min', 'max', 'mean', 'p50', 'p95'].map((what) => `/odom:pose.position.x:${what}`);
    const battery = ['/battery:power_supply_status:CHARGING', '/battery:power_supply_status:a:b', '/battery:percentage'];
    const fields = topicFields(['fps', 'brightness', ...odom, ...battery]);
    expect(fields.map((field) => [field.key, field.kind])).toEqual([
      ['/battery:percentage', 'single'],
      ['/battery:power_supply_status', 'state'],
      ['/odom:pose.position.x', 'window'],
    ]);
    expect(fields[0]?.series).toEqual([{ channel: '/battery:percentage', label: 'percentage' }]);
    expect(fields[1]?.series.map((series) => series.label)).toEqual(['CHARGING', 'a:b']);
    expect(fields[2]?.series.map((series) => series.label)).toEqual(['max', 'p95', 'mean', 'min']);
  });

  it('draws four states at most', () => {
    const fields = topicFields(['a', 'b', 'c', 'd', 'e'].map((state) => `/t:mode:${state}`));
    expect(fields[0]?.series).toHaveLength(4);
    expect(topicFields([])).toEqual([]);
  });
});
