import { describe, expect, it } from 'vitest';
import { topicFields } from './topics';

describe('fields of topics', () => {
  it('gathers the series of a field and leaves other channels out', () => {
    const odom = ['min', 'max', 'mean', 'p50', 'p95'].map((what) => `/odom:pose.position.x:${what}`);
    const battery = ['/battery:power_supply_status:CHARGING', '/battery:power_supply_status:a:b', '/battery:percentage'];
    const fields = topicFields({ channels: ['fps', 'brightness', ...odom, ...battery], units: {} });
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
    const fields = topicFields({ channels: ['a', 'b', 'c', 'd', 'e'].map((state) => `/t:mode:${state}`), units: {} });
    expect(fields[0]?.series).toHaveLength(4);
    expect(topicFields({ channels: [], units: {} })).toEqual([]);
  });

  it('shows the channels that software named itself, with their units', () => {
    const fields = topicFields({ channels: ['/odd:name', 'charger/temperature', 'doors', 'fps'], units: { '/odd:name': 'V', 'charger/temperature': 'degC', doors: '' } });
    expect(fields.map((field) => [field.key, field.topic, field.unit])).toEqual([
      ['/odd:name', '', 'V'],
      ['charger/temperature', '', 'degC'],
      ['doors', '', ''],
    ]);
    expect(fields[1]?.series).toEqual([{ channel: 'charger/temperature', label: 'charger/temperature' }]);
  });
});
