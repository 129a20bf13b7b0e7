// Drives a daemon through the client library that npm holds, and prints what it got; node client.js SOCKET
const QMP = require('qemu-qmp');

const qmp = new QMP();
// The order of members is free.
const inOrder = (key, value) => value && value.constructor === Object ? Object.fromEntries(Object.entries(value).sort()) : value;
const print = (what, value) => console.log(what, JSON.stringify(value, inOrder));
const printReply = what => (error, value) => print(what, error ? error.message : value);
const statuses = [];

qmp.on('job_status_change', name => statuses.push(name));
qmp.on('block_job_completed', () => qmp.execute('query-jobs', (error, jobs) => {
  printReply('jobs')(error, jobs);
  qmp.execute('job-dismiss', { id: 'copy' }, printReply('dismissed'));
  qmp.execute('query-jobs', printReply('jobs left'));
  qmp.execute('quit', printReply('quit'));
}));
qmp.on('shutdown', name => print('event', name));
qmp.on('close', () => print('closed', statuses.length));

qmp.connect(process.argv[2], error => {
  if (error) throw error;
  print('version', qmp.version.qemu);
  print('capabilities', qmp.capabilities);
  // Sent without waiting and without line ends between them.
  qmp.execute('query-status', printReply('status'));
  qmp.execute('no-such-command', printReply('unknown command'));
  qmp.execute('blockdev-add', { driver: 'null-co', 'node-name': 'disk', size: 1048576, 'read-zeroes': true }, printReply('disk'));
  qmp.execute('blockdev-add', { driver: 'null-co', 'node-name': 'disk' }, printReply('disk again'));
  qmp.execute('blockdev-add', { driver: 'null-co', 'node-name': 'target', size: 1048576 }, printReply('target'));
  qmp.execute('query-named-block-nodes', { flat: true }, (error, nodes) => print('nodes', nodes.map(node => node['node-name']).sort()));
  qmp.execute('blockdev-backup', { 'job-id': 'copy', device: 'disk', target: 'target', sync: 'full', 'auto-dismiss': false }, printReply('backup'));
});
