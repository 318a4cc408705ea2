#!/bin/bash
# A real S3 server for tests: Ceph's radosgw from Debian (one monitor, one in-memory OSD), about 15 s to start.
#   rgw.sh up DIR [HTTP_PORT [TLS_PORT [MON_PORT]]]     rgw.sh down DIR
# Needs ceph-mon ceph-osd radosgw ceph-base ceph-common openssl curl.
# S3: http://127.0.0.1:HTTP_PORT (7480) and https://127.0.0.1:TLS_PORT (7443, certificate authority DIR/ca.pem), region us-east-1,
# path style; access key AKIATESTTESTTESTTEST, secret key secret/With+Chars/0123456789abcdefghij. Unlike s3rver it checks signatures.
set -eu
verb=$1; mkdir -p "$2"; D=$(realpath "$2")
pids() { for n in rgw osd mon; do [ ! -f "$D/$n.realpid" ] || cat "$D/$n.realpid"; done; }
# Nothing in it is worth an orderly end, which the monitor takes its time for.
stop() { kill -9 $(pids) 2>/dev/null || true; }
if [ "$verb" = down ]; then stop; exit 0; fi
http=${3:-7480}; tls=${4:-7443}; mon=${5:-16789}
mkdir -p "$D/mon" "$D/osd" "$D/log"; cd "$D"
fsid=$(cat /proc/sys/kernel/random/uuid)
[ -f ca.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out ca.pem -days 3650 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
cat key.pem ca.pem > rgw.pem
cat > ceph.conf <<C
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$mon
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = $D
log_file = $D/log/\$name.log
admin_socket = $D/\$name.asok
pid_file = $D/\$name.pid
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
ms_bind_msgr2 = false
mon_data = $D/mon
osd_data = $D/osd
[osd]
osd_objectstore = memstore
memstore_device_bytes = 8589934592
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$http ssl_endpoint=127.0.0.1:$tls ssl_certificate=$D/rgw.pem
rgw_rados_pool_pg_num_min = 4
rgw_enable_apis = s3, admin
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
C
export CEPH_CONF=$D/ceph.conf
monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon]" monmap >/dev/null
ceph-mon --mkfs -i a --monmap monmap
setsid ceph-mon -i a -f >log/mon.out 2>&1 & echo $! > mon.realpid
for _ in $(seq 60); do timeout 5 ceph quorum_status >/dev/null 2>&1 && break; sleep 0.2; done
uuid=$(cat /proc/sys/kernel/random/uuid); id=$(ceph osd new "$uuid")
ceph-osd -i "$id" --mkfs --osd-uuid "$uuid" >log/mkfs.out 2>&1
# It may ask the monitor before it knows the cluster's name, and then ends: once more.
for _ in $(seq 30); do
    [ -f osd.realpid ] && kill -0 "$(cat osd.realpid)" 2>/dev/null ||
        { setsid ceph-osd -i "$id" -f >>log/osd.out 2>&1 & echo $! > osd.realpid; }
    timeout 5 ceph osd stat 2>/dev/null | grep -q '1 up' && break
    sleep 0.5
done
setsid radosgw -n client.rgw -f >log/rgw.out 2>&1 & echo $! > rgw.realpid
for _ in $(seq 300); do curl -s -o /dev/null "http://127.0.0.1:$http/" && break; sleep 0.2; done
curl -sf -o /dev/null "http://127.0.0.1:$http/" || { echo "radosgw did not start, see $D/log" >&2; stop; exit 1; }
radosgw-admin -n client.rgw user create --uid=t --display-name=t --access-key=AKIATESTTESTTESTTEST \
    --secret-key='secret/With+Chars/0123456789abcdefghij' >/dev/null 2>&1
echo "radosgw up: http://127.0.0.1:$http https://127.0.0.1:$tls"
